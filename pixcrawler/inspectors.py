"""The worker processes that look at bytes, so that a picture that kills or stalls one costs no other picture.

Each worker has a socket to the crawl, on which it is handed one picture after another: a word, the function to call and
the body, and on which it answers. The next ones are on their way while it looks at one, so that it hardly ever waits.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import multiprocessing
import os
import pickle
import signal
import socket
import struct
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager, suppress
from functools import lru_cache
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any, TypeVar, cast

from pixcrawler import answers, confinement, imaging
from pixcrawler.errors import NotAnImage, PixCrawlerError
from pixcrawler.items import Inspection
from pixcrawler.jobs import Reason

if sys.platform == "win32":
    from multiprocessing.context import SpawnContext as Context
    from multiprocessing.context import SpawnProcess as Process
else:
    from multiprocessing.context import ForkServerContext as Context
    from multiprocessing.context import ForkServerProcess as Process

MEMORY = 2 * 1024**3  # bytes on top of an idle worker; the hungriest picture under the pixel limit takes half of it
PLACES = 4  # of each worker: one picture it looks at, and what comes while the crawl is busy with decisions
LARGEST_ANSWER = 512 << 20  # bytes; a picture that was encoded anew without loss, at the pixel limit, takes a third
JOIN_SECONDS = 5  # for a worker whose socket was closed; it ends at once, unless it is beyond listening

# The C library's, see mallopt(3): what a picture has taken is kept for the next one.
MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1
LARGEST_REUSED = 32 << 20  # bytes in a piece; the most it accepts
MOST_KEPT = 64 << 20  # bytes; a worker that has had a large picture is no larger for long

_ASKED = struct.Struct("!?IQ")  # whether to say that it has begun; bytes of the function, and of the body
_ANSWERED = struct.Struct("!I")  # bytes; none says that it has begun

T = TypeVar("T")
logger = logging.getLogger(__name__)


def _unchecked(found: Any) -> Any:
    return found


class Inspectors:
    """A pool of workers. Belongs to one event loop; `close` it, or it ends with the process."""

    def __init__(self, workers: int = 2, seconds: float = 10, cpu_seconds: float = 5) -> None:
        self._seconds = seconds  # for one picture, and of those
        self._cpu_seconds = cpu_seconds  # computing; the slowest picture under the pixel limit takes a third
        self._seats: list[asyncio.Task[_Worker] | None] = [None] * workers
        self._given = [0] * workers  # pictures
        self._room = asyncio.Semaphore(PLACES * workers)
        self._thread = ThreadPoolExecutor(1, "inspectors", _leave_ctrl_c_alone)  # starting and ending block

    def start(self) -> None:
        """Starts the workers in the background, so that the first picture does not wait for them."""
        for number in range(len(self._seats)):
            self._seat(number)

    async def inspect(self, body: bytes) -> Inspection:
        """`imaging.inspect` in a worker. A worker's death is CRASHED, too much time or memory is BOMB."""
        return imaging.hashed(await self.run(imaging.look_into, body, answers.checked), body)

    async def run(self, function: Callable[[bytes], T], body: bytes, check: Callable[[Any], T] = _unchecked) -> T:
        """Calls an importable function in a worker; raises what it raises, and `NotAnImage` when it cannot end.

        `check` returns what was found, or raises `answers.Foreign`.
        """
        async with self._room:
            for _ in range(len(self._seats) + 1):  # all that stand there may have been killed
                try:
                    done, found = await self._ask(function, body, check)
                    break
                except _NotBegun as error:  # its worker was killed, or died of another picture
                    reason = error
                except OSError as error:
                    raise PixCrawlerError(f"The inspection workers do not start: {error}") from None
            else:
                raise PixCrawlerError(f"The inspection workers do not start: {reason}")
        if isinstance(found, MemoryError):
            raise NotAnImage(Reason.BOMB, "needs more memory than a picture may")
        if not done:
            raise found
        return found  # type: ignore[no-any-return]

    async def close(self) -> None:
        """Ends the workers after the pictures they were given. Whoever asks later gets `RuntimeError`."""
        async with AsyncExitStack() as nobody_else:
            for _ in range(PLACES * len(self._seats)):
                await nobody_else.enter_async_context(self._room)
            for started in filter(None, self._seats):
                with suppress(OSError):
                    (await started).leave()
            for started in filter(None, self._seats):
                if not started.exception():
                    await self._end(started.result())
            self._thread.shutdown(wait=False)

    async def _ask(
        self, function: Callable[[bytes], Any], body: bytes, check: Callable[[Any], Any]
    ) -> tuple[bool, Any]:
        """Whether it came to a result, and that, or what was raised."""
        number = self._given.index(min(self._given))
        self._given[number] += 1
        try:
            worker = await asyncio.shield(self._seat(number))
            try:
                done, found = answers.unpacked(await worker.ask(function, body))
                return done, check(found) if done else found
            except _Died as death:
                raise await self._blame(worker, death) from None
            except answers.Foreign as error:
                worker.leave()
                raise NotAnImage(Reason.CRASHED, str(error)) from None
        finally:
            self._given[number] -= 1

    def _seat(self, number: int) -> asyncio.Task[_Worker]:
        """Where a worker is, or will be."""
        seat = self._seats[number]
        if seat is None or (seat.done() and (seat.exception() or seat.result().gone)):
            seat = self._seats[number] = asyncio.create_task(self._start())
        return seat

    async def _start(self) -> _Worker:
        loop = asyncio.get_running_loop()
        process, ours = await loop.run_in_executor(self._thread, _launch, self._cpu_seconds)
        _, worker = await loop.create_connection(lambda: _Worker(process, self._seconds), sock=ours)
        return worker

    async def _blame(self, worker: _Worker, death: _Died) -> Exception:
        """What a death says about the picture in hand."""
        exit_code = await self._end(worker)
        if not death.begun:
            return _NotBegun(_name(exit_code))
        if not death.in_time:
            return NotAnImage(Reason.BOMB, f"took more than {self._seconds:g} seconds to look at")
        return _blame(exit_code, self._cpu_seconds)

    async def _end(self, worker: _Worker) -> int:
        return await asyncio.get_running_loop().run_in_executor(self._thread, _joined, worker.process)


class _NotBegun(Exception):
    """A worker died before it has begun with a picture."""


class _Died(Exception):
    """A worker died with a picture in its hands, or on the way to it."""

    def __init__(self, *, begun: bool, in_time: bool = True) -> None:
        super().__init__()
        self.begun = begun
        self.in_time = in_time


class _Worker(asyncio.Protocol):
    """The crawl's end of a worker's socket."""

    def __init__(self, process: BaseProcess, seconds: float) -> None:
        self.process = process
        self.gone = False
        self._seconds = seconds
        self._given: deque[asyncio.Future[bytes]] = deque()  # pictures; it looks at the first
        self._begun = False  # with that
        self._late = False
        self._timer: asyncio.TimerHandle | None = None
        self._read = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are of no such class

    async def ask(self, function: Callable[[bytes], Any], body: bytes) -> bytes:
        """The answer, packed. Raises `_Died`, or `_NotBegun` when the picture before it was the end."""
        if self.gone:
            raise _NotBegun("it has gone")
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        idle = not self._given
        self._given.append(answer)
        if idle:
            self._begun = False
            self._wind()
        name = _packed(function)
        self._transport.writelines([_ASKED.pack(idle, len(name), len(body)), name, body])
        return await answer

    def leave(self) -> None:
        """Lets it end."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._read += data
        while len(self._read) >= _ANSWERED.size:
            (size,) = _ANSWERED.unpack_from(self._read)
            end = _ANSWERED.size + size
            if size > LARGEST_ANSWER:
                self._kill()
            if len(self._read) < end:
                return
            answer = bytes(self._read[_ANSWERED.size : end])
            del self._read[:end]
            self._begun = True  # with this one, or, at once, with the next
            if answer and self._given:
                self._answer(answer)

    def connection_lost(self, error: Exception | None) -> None:
        self.gone = True
        self._stop_timer()
        causes = [_Died(begun=self._begun, in_time=not self._late)]
        for answer in self._given:
            if not answer.done():
                answer.set_exception(causes.pop() if causes else _NotBegun("another picture was its end"))
        self._given.clear()

    def _answer(self, packed: bytes) -> None:
        answer = self._given.popleft()
        self._stop_timer()
        if self._given:
            self._wind()
        if not answer.done():
            answer.set_result(packed)

    def _wind(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._give_up)

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()

    def _give_up(self) -> None:
        self._late = True
        self._kill()

    def _kill(self) -> None:
        self.process.kill()
        self._transport.abort()


@lru_cache
def _packed(function: Callable[[bytes], Any]) -> bytes:
    return pickle.dumps(function)


# In the thread


def _leave_ctrl_c_alone() -> None:
    """Blocks SIGINT in this thread, and so in every process it starts, from the first instruction on."""
    if sys.platform != "win32":
        resource_tracker.ensure_running()  # unblocks the signal when it has to start
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _launch(cpu_seconds: float) -> tuple[BaseProcess, socket.socket]:
    """Starts a worker. Raises `OSError`."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # inherited by the workers, whose matrices have 32 rows
    if not confinement.is_complete():
        logger.warning("Inspection workers are not confined here as they are on Linux, x86_64 or aarch64")
    context = _Context()
    context.set_forkserver_preload([__name__])
    ours, theirs = socket.socketpair()
    with theirs:
        process = context.Process(target=_work, args=(theirs, cpu_seconds), daemon=True)
        try:
            process.start()
        except (OSError, EOFError) as error:
            ours.close()
            raise OSError(str(error) or repr(error)) from None
    return process, ours


def _joined(process: BaseProcess) -> int:
    """The exit code of a worker that is at its end."""
    process.join(JOIN_SECONDS)
    if process.exitcode is None:
        process.kill()
        process.join()
    return process.exitcode or 0


class _Process(Process):
    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Any:  # noqa: N802
        with _nameless_main():
            return Process._Popen(process_obj)


class _Context(Context):
    Process = _Process


_main_lock = threading.Lock()


@contextmanager
def _nameless_main() -> Iterator[None]:
    """Keeps a starting worker from importing the main module: for `scrapy`, that is all of Scrapy and Twisted."""
    with _main_lock:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


# In a worker


def _work(crawl: socket.socket, cpu_seconds: float) -> None:
    """Looks at one picture after another, until the crawl has no more."""
    _confine()
    asked = crawl.makefile("rb")
    while header := asked.read(_ASKED.size):
        tell, of_function, of_body = _ASKED.unpack(header)
        if tell:
            crawl.sendall(_ANSWERED.pack(0))
        function = _function(asked.read(of_function))
        answer = _answer(function, asked.read(of_body), cpu_seconds)
        crawl.sendall(_ANSWERED.pack(len(answer)) + answer)


@lru_cache
def _function(packed: bytes) -> Callable[[bytes], Any]:
    return pickle.loads(packed)  # type: ignore[no-any-return]  # noqa: S301  # of the crawl


def _answer(function: Callable[[bytes], Any], body: bytes, cpu_seconds: float) -> bytes:
    confinement.allow_cpu(cpu_seconds)
    try:
        return pickle.dumps((True, function(body)))
    except PixCrawlerError as error:
        return pickle.dumps((False, error))
    except Exception as error:
        error.add_note(traceback.format_exc())
        return pickle.dumps((False, error))


def _confine() -> None:
    """Runs first in a worker: ends it with its crawl, and bounds what a picture can do to the machine."""
    if sys.platform == "linux":
        import fcntl

        # When the pipe from the crawl closes the kernel sends SIGIO, which ends even a decoder that never returns.
        # PR_SET_PDEATHSIG would wait for the fork server, which outlives the crawl as long as it has children.
        parent = multiprocessing.parent_process()
        assert parent is not None
        fcntl.fcntl(parent.sentinel, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(parent.sentinel, fcntl.F_SETFL, os.O_ASYNC)
        _keep_memory()
    gc.freeze()  # what was imported stays; no need to look through it again
    confinement.confine(MEMORY)


def _keep_memory() -> None:
    """Otherwise every picture has the kernel make, clear and take back its pages: a quarter of all time."""
    with suppress(AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(MMAP_THRESHOLD, LARGEST_REUSED)
        mallopt(TRIM_THRESHOLD, MOST_KEPT)


# Deaths


def _name(exit_code: int) -> str:
    return {each.value: each.name for each in signal.Signals}.get(-exit_code, f"exit code {exit_code}")


def _blame(exit_code: int, cpu_seconds: float) -> NotAnImage:
    death = _name(exit_code)
    if death == "SIGXCPU":
        return NotAnImage(Reason.BOMB, f"takes more than {cpu_seconds:g} seconds of computing")
    if death == "SIGSYS":
        return NotAnImage(Reason.CRASHED, "asked the system for what no picture needs")
    return NotAnImage(Reason.CRASHED, f"ended its worker, {death}")
