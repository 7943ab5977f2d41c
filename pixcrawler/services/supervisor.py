"""Keeps parts of PixCrawler running, and leaves nothing behind.

A part is a process in a session of its own, so that Ctrl-C reaches only the supervisor. Stages of parts start one
after another and stop in reverse: asked with SIGTERM, killed after the grace, or at once at a second signal. A part
that ends by itself starts again, later each time. On Linux the kernel kills the parts of a killed supervisor;
elsewhere they live on.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

from pixcrawler.errors import NodeUnavailable
from pixcrawler.services.processes import alone, end, session, spawn
from pixcrawler.services.signals import on_signal

logger = logging.getLogger(__name__)
Result = TypeVar("Result")

GRACE_SECONDS = 10.0  # Scrapyd gives its crawl processes 8 to close their books
READY_SECONDS = 60.0  # Scrapyd needs two; a small machine under load many times that
READY_BEAT_SECONDS = 0.1
PAUSE_SECONDS = 0.5  # before the first restart; doubles
LONGEST_PAUSE_SECONDS = 30.0
HEALTHY_SECONDS = 60.0  # after a life as long the next restart is a first one again


@dataclass(frozen=True)
class Part:
    """A process to keep running. Its settings travel in `env`: everyone may read command lines."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    cwd: Path
    answers: Callable[[], bool] | None = None  # whether it is ready; None: as soon as it is started


async def supervise(
    stages: Sequence[Sequence[Part]],
    logs: Path,
    work: Callable[[], Awaitable[Result]],
    *,
    grace_seconds: float = GRACE_SECONDS,
) -> Result:
    """Runs `work` beside the parts and stops them whatever happens. Raises `NodeUnavailable` if one gets not ready.

    Raises `KeyboardInterrupt` after SIGINT, SIGTERM or SIGHUP, once everything has stopped.
    """
    supervisor = Supervisor(stages, logs, grace_seconds)
    task = asyncio.create_task(_start_and_work(supervisor, work))

    def interrupt() -> None:
        if task.done() or task.cancelling():
            supervisor.hurry.set()
        else:
            task.cancel()

    with on_signal(interrupt):
        try:
            return await task
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
        finally:
            await supervisor.stop()


async def _start_and_work(supervisor: Supervisor, work: Callable[[], Awaitable[Result]]) -> Result:
    await supervisor.start()
    return await work()


class Supervisor:
    """The parts that run. `hurry` is set when nobody wants to wait any longer."""

    def __init__(self, stages: Sequence[Sequence[Part]], logs: Path, grace_seconds: float = GRACE_SECONDS) -> None:
        self.hurry = asyncio.Event()
        self._stages = stages
        self._logs = logs
        self._grace_seconds = grace_seconds
        self._pids: dict[str, int] = {}  # of living parts
        self._guards: dict[str, asyncio.Task[None]] = {}
        self._ended: set[str] = set()  # parts that have ended by themselves

    async def start(self) -> None:
        """Starts stage after stage, each when the one before is ready."""
        if sys.platform != "linux":
            logger.warning("only Linux ends the parts of a killed supervisor: here they would have to be ended by hand")
        self._logs.mkdir(parents=True, exist_ok=True)
        for stage in self._stages:
            for part in stage:
                self._guards[part.name] = asyncio.create_task(self._keep_alive(part))
            await asyncio.gather(*(self._ready(part) for part in stage))

    async def stop(self) -> None:
        """Stops stage after stage, the last first."""
        for guard in self._guards.values():
            guard.cancel()
        await asyncio.gather(*self._guards.values(), return_exceptions=True)
        for stage in reversed(self._stages):
            await asyncio.gather(*(self._stop(part) for part in stage if part.name in self._pids))

    async def _stop(self, part: Part) -> None:
        pid = self._pids[part.name]
        await self._end(alone(pid))
        await self._end(session(pid))

    async def _end(self, processes: Sequence[psutil.Process]) -> None:
        await end(processes, self._grace_seconds, self.hurry)

    async def _ready(self, part: Part) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while part.answers and not await asyncio.to_thread(part.answers):
            if part.name in self._ended or time.monotonic() > deadline:
                raise NodeUnavailable(f"{part.name} does not answer; its log: {self._log(part)}")
            await asyncio.sleep(READY_BEAT_SECONDS)

    async def _keep_alive(self, part: Part) -> None:
        pause = PAUSE_SECONDS
        while True:
            started = time.monotonic()
            how = await self._live(part)
            self._ended.add(part.name)
            if time.monotonic() - started > HEALTHY_SECONDS:
                pause = PAUSE_SECONDS
            logger.warning("%s %s and starts again in %g s; its log: %s", part.name, how, pause, self._log(part))
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _live(self, part: Part) -> str:
        """Runs a part once; says how it ended."""
        try:
            process = await spawn(part.command, part.env, part.cwd, self._log(part))
        except OSError as error:
            return f"cannot start ({error.strerror})"
        self._pids[part.name] = process.pid
        status = await process.wait()
        await self._end(session(process.pid))  # orphans of a dead Scrapyd answer to nobody
        del self._pids[part.name]  # the system may give it to somebody else
        return f"ended with status {status}"

    def _log(self, part: Part) -> Path:
        return self._logs / f"{part.name}.log"
