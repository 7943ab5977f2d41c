"""The worker processes that look at bytes, so that a picture that kills or stalls one costs no other picture."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AsyncExitStack, contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any, TypeVar

from pebble import ProcessExpired, ProcessPool

from pixcrawler import confinement, imaging
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
KILL_SECONDS = 10  # to end a worker that does not listen and start another; pebble waits 3 before SIGKILL

# The C library's, see mallopt(3): what a picture has taken is kept for the next one.
MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1
LARGEST_REUSED = 32 << 20  # bytes in a piece; the most it accepts
MOST_KEPT = 64 << 20  # bytes; a worker that has had a large picture is no larger for long

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Inspectors:
    """A pool of workers. Belongs to one event loop; `close` it, or it ends with the process."""

    def __init__(self, workers: int = 2, seconds: float = 10, cpu_seconds: float = 5) -> None:
        self._workers = workers
        self._seconds = seconds  # for one picture, and of those
        self._cpu_seconds = cpu_seconds  # computing; the slowest picture under the pixel limit takes a third
        self._places = 2 * workers  # one at work and one waiting for each
        self._room = asyncio.Semaphore(self._places)
        self._thread = ThreadPoolExecutor(1, "inspectors", _leave_ctrl_c_alone)  # opening and closing block
        self._pool: Future[ProcessPool] | None = None

    def start(self) -> None:
        """Starts the workers in the background, so that the first picture does not wait for them."""
        self._opened()

    async def inspect(self, body: bytes) -> Inspection:
        """`imaging.inspect` in a worker. A worker's death is CRASHED, too much time or memory is BOMB."""
        return await self.run(imaging.inspect, body)

    async def run(self, function: Callable[[bytes], T], body: bytes) -> T:
        """Calls an importable function in a worker; raises what it raises, and `NotAnImage` when it cannot end."""
        async with self._room:
            try:
                return await self._try(function, body)
            except BrokenExecutor:  # an idle worker was killed and took the pool along: no picture is to blame
                pass
            try:
                return await self._try(function, body)
            except BrokenExecutor as error:
                raise PixCrawlerError(f"The inspection workers do not start: {error.__cause__ or error!r}") from None

    async def close(self) -> None:
        """Ends the workers after the pictures they were given. Whoever asks later gets `RuntimeError`."""
        async with AsyncExitStack() as nobody_else:
            for _ in range(self._places):
                await nobody_else.enter_async_context(self._room)
            if self._pool is not None:
                await asyncio.wrap_future(self._thread.submit(_shut, self._pool))
                self._pool = None
            self._thread.shutdown(wait=False)

    async def _try(self, function: Callable[[bytes], T], body: bytes) -> T:
        opened = self._opened()
        try:
            pool = opened.result() if opened.done() else await asyncio.shield(asyncio.wrap_future(opened))
            return await self._answer(pool, function, body)
        except BrokenExecutor:
            self._replace(opened)
            raise
        except ProcessExpired as death:
            raise _blame(death.exitcode, self._cpu_seconds) from None
        except MemoryError:
            raise NotAnImage(Reason.BOMB, "needs more memory than a picture may") from None
        except TimeoutError:
            raise NotAnImage(Reason.BOMB, f"took more than {self._seconds:g} seconds to look at") from None

    async def _answer(self, pool: ProcessPool, function: Callable[[bytes], T], body: bytes) -> T:
        """Waits for a worker's answer; a pool can break, or a worker die in its queue, without telling anybody."""
        if not pool.active:
            raise BrokenProcessPool
        task = (self._cpu_seconds, function, body)
        answer = asyncio.wrap_future(pool.schedule(_within, args=task, timeout=self._seconds))
        latest = time.monotonic() + 2 * self._seconds + KILL_SECONDS
        try:
            while not (await asyncio.wait([answer], timeout=1))[0]:
                if not pool.active or time.monotonic() > latest:
                    raise BrokenProcessPool("no answer")
            found: T = answer.result()
            return found
        finally:
            answer.cancel()

    def _opened(self) -> Future[ProcessPool]:
        if self._pool is None:
            self._pool = self._thread.submit(self._open)
        return self._pool

    def _replace(self, broken: Future[ProcessPool]) -> None:
        if self._pool is broken:
            self._pool = None
            self._thread.submit(_shut, broken)

    def _open(self) -> ProcessPool:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # inherited by the workers, whose matrices have 32 rows
        if not confinement.is_complete():
            logger.warning("Inspection workers are not confined here as they are on Linux, x86_64 or aarch64")
        context = _Context()
        context.set_forkserver_preload([__name__])
        try:
            pool = ProcessPool(self._workers, initializer=_confine, context=context)
            pool.schedule(os.getpid)  # the first task starts the workers
        except OSError as error:
            raise BrokenProcessPool from error
        return pool


def _leave_ctrl_c_alone() -> None:
    """Blocks SIGINT in this thread, and so in every process it starts, from the first instruction on."""
    if sys.platform != "win32":
        resource_tracker.ensure_running()  # unblocks the signal when it has to start
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _shut(pool: Future[Any]) -> None:
    if pool.exception() is None:
        pool.result().stop()
        pool.result().join()


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


def _within(cpu_seconds: float, function: Callable[[bytes], T], body: bytes) -> T:
    """Runs in a worker, for every picture anew."""
    confinement.allow_cpu(cpu_seconds)
    return function(body)


def _blame(exit_code: int, cpu_seconds: float) -> NotAnImage:
    death = {each.value: each.name for each in signal.Signals}.get(-exit_code, f"exit code {exit_code}")
    if death == "SIGXCPU":
        return NotAnImage(Reason.BOMB, f"takes more than {cpu_seconds:g} seconds of computing")
    if death == "SIGSYS":
        return NotAnImage(Reason.CRASHED, "asked the system for what no picture needs")
    return NotAnImage(Reason.CRASHED, f"ended its worker, {death}")
