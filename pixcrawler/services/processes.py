"""Operating system processes: started so that they die with us, found by their session, ended for certain."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

BEAT_SECONDS = 0.05  # between two looks at processes that should end
KILLED_SECONDS = 2.0  # a killed process is gone at once, unless a broken disk holds it
PR_SET_PDEATHSIG = 1  # linux/prctl.h


async def spawn(command: Sequence[str], env: Mapping[str, str], cwd: Path, log: Path) -> Process:
    """Starts a process in a session of its own, its output appended to `log`."""
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *command,
            env=env,
            cwd=cwd,
            stdin=DEVNULL,
            stdout=output,
            stderr=STDOUT,
            start_new_session=True,
            preexec_fn=_die_with(os.getpid()),
        )


def _die_with(parent: int) -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # loaded here: the child of a fork had better load nothing

    def arm() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return arm


def alone(pid: int) -> list[psutil.Process]:
    """The process with this number, if there is one."""
    with suppress(psutil.NoSuchProcess):
        return [psutil.Process(pid)]
    return []


def session(leader: int) -> list[psutil.Process]:
    """The processes of a session without its leader, whether it still lives or not, in whatever groups they are."""
    if sys.platform == "win32":  # has no sessions; children of a dead process cannot be found
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(leader).children(recursive=True)
        return []
    return [p for p in psutil.process_iter() if p.pid != leader and _session_of(p.pid) == leader]


def _session_of(pid: int) -> int | None:
    with suppress(OSError):
        return os.getsid(pid)
    return None


async def end(processes: Sequence[psutil.Process], seconds: float, hurry: asyncio.Event) -> None:
    """Asks processes to end (their children follow by themselves), and kills those that are left after `seconds`."""
    for process in _heads(processes):
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    for process in await _left(processes, seconds, hurry):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    await _left(processes, KILLED_SECONDS, asyncio.Event())


def _heads(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Those whose parent is not among them. A worker asked behind its parent's back looks like a crash."""
    pids = {process.pid for process in processes}
    heads = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.ppid() not in pids:
                heads.append(process)
    return heads


async def _left(processes: Sequence[psutil.Process], seconds: float, hurry: asyncio.Event) -> list[psutil.Process]:
    deadline = time.monotonic() + seconds
    left = list(processes)
    while left := [process for process in left if _lives(process)]:
        if hurry.is_set() or time.monotonic() > deadline:
            break
        await asyncio.sleep(BEAT_SECONDS)
    return left


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
