"""What bounds a process that decodes strangers' files: on Linux its memory, its time, and what it may ask the kernel.

Limits of resources keep neither root from forking nor anybody from connecting. A filter of system calls does, whoever
runs it; what it forbids ends the process on the spot, with SIGSYS. Reading is left to it: Python imports late.
"""

from __future__ import annotations

import ctypes
import errno
import math
import os
import platform
import signal
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

if sys.platform != "win32":
    import resource


def confine(memory: int) -> None:
    """Bounds this process for the rest of its life: `memory` bytes on top of what it has, and nothing written.

    Elsewhere than on Linux it does nothing.
    """
    if sys.platform != "linux":
        return
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    for kind, limit in (
        (resource.RLIMIT_AS, pages * resource.getpagesize() + memory),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),  # says nothing to root
    ):
        _limit(kind, limit)
    sys.dont_write_bytecode = True  # a late import would be the end
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a decoder in C comes to no handler of Python
    _filter_system_calls()


def allow_cpu(seconds: float) -> None:
    """From now on this process may compute for so long; then SIGXCPU ends it, whatever it is at."""
    if sys.platform != "win32":
        used = resource.getrusage(resource.RUSAGE_SELF)
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        soft = math.ceil(used.ru_utime + used.ru_stime + seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def is_complete() -> bool:
    """Whether this system and machine are known, and `confine` does all it says."""
    return sys.platform == "linux" and platform.machine() in _MACHINES


def _limit(kind: int, limit: int) -> None:
    hard = resource.getrlimit(kind)[1]
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(kind, (limit, limit))


@dataclass(frozen=True)
class _Machine:
    """A processor's numbers of system calls."""

    audit: int  # what the kernel calls it
    never: tuple[int, ...]
    unknown: tuple[int, ...]  # answered like an old kernel would, for which the C library knows other ways
    opens: dict[int, int]  # which of the arguments has the flags
    clone: int  # of threads only
    tgkill: int  # of itself only, as abort() does


_MACHINES = {
    "x86_64": _Machine(
        audit=0xC000003E,
        never=(
            *(57, 58, 59, 322),  # fork, vfork, execve, execveat
            *(62, 200, 101, 311),  # kill, tkill, ptrace, process_vm_writev
            *(41, 53),  # socket, socketpair
            *(85, 76, 87, 263, 82, 264, 316),  # creat, truncate, unlink, unlinkat, rename, renameat, renameat2
            *(83, 258, 84, 86, 265, 88, 266, 133, 259),  # mkdir, mkdirat, rmdir, link…, symlink…, mknod…
            *(90, 268, 452, 92, 94, 260),  # chmod, fchmodat, fchmodat2, chown, lchown, fchownat
        ),
        unknown=(435, 437, 425),  # clone3, openat2, io_uring_setup
        opens={2: 1, 257: 2},  # open, openat
        clone=56,
        tgkill=234,
    ),
    "aarch64": _Machine(
        audit=0xC00000B7,
        never=(
            *(221, 281),  # execve, execveat
            *(129, 130, 117, 271),  # kill, tkill, ptrace, process_vm_writev
            *(198, 199),  # socket, socketpair
            *(45, 35, 38, 276),  # truncate, unlinkat, renameat, renameat2
            *(34, 37, 36, 33),  # mkdirat, linkat, symlinkat, mknodat
            *(53, 452, 54),  # fchmodat, fchmodat2, fchownat
        ),
        unknown=(435, 437, 425),
        opens={56: 2},
        clone=220,
        tgkill=131,
    ),
}

_Instruction = tuple[int, int, int, int]  # of the kernel's filter: code, jump if true, jump if false, operand

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _MACHINE, _ARGUMENTS = 0, 4, 16  # where the filter finds them; an argument has eight bytes
_KILL: _Instruction = (_RETURN, 0, 0, 0x80000000)
_ALLOW: _Instruction = (_RETURN, 0, 0, 0x7FFF0000)
_UNKNOWN: _Instruction = (_RETURN, 0, 0, 0x00050000 | errno.ENOSYS)
_OTHER_NUMBERS = 0x40000000  # from here on, x86 numbers its system calls a second time
_THREAD = 0x00010000  # CLONE_THREAD
_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER = 38, 22, 2  # of prctl


def _filter_system_calls() -> None:
    """For good, and for all threads to come. A kernel that knows no filters leaves the other limits."""
    if machine := _MACHINES.get(platform.machine()):
        program = _program(machine, os.getpid())
        code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *instruction) for instruction in program))
        pointer = struct.pack("HP", len(program), ctypes.addressof(code))
        prctl = ctypes.CDLL(None).prctl
        if prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0:
            prctl(_SET_SECCOMP, _FILTER, pointer, 0, 0)


def _program(machine: _Machine, own_pid: int) -> list[_Instruction]:
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
    return [
        (_LOAD, 0, 0, _MACHINE),
        *((_EQUAL, 1, 0, machine.audit), _KILL),
        (_LOAD, 0, 0, _NUMBER),
        *((_AT_LEAST, 0, 1, _OTHER_NUMBERS), _KILL),
        *(line for number in machine.never for line in _when(number, _KILL)),
        *(line for number in machine.unknown for line in _when(number, _UNKNOWN)),
        *(
            line
            for number, flags in machine.opens.items()
            for line in _when(number, _argument(flags), (_ANY_BIT, 0, 1, writing), _KILL, _ALLOW)
        ),
        *_when(machine.clone, _argument(0), (_ANY_BIT, 1, 0, _THREAD), _KILL, _ALLOW),
        *_when(machine.tgkill, _argument(0), (_EQUAL, 1, 0, own_pid), _KILL, _ALLOW),
        _ALLOW,
    ]


def _when(number: int, *then: _Instruction) -> list[_Instruction]:
    return [(_EQUAL, 0, len(then), number), *then]


def _argument(place: int) -> _Instruction:
    return (_LOAD, 0, 0, _ARGUMENTS + 8 * place)
