"""Starts crawl processes, one per slot, and leaves nothing of them behind."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import scrapyd.launcher
from scrapyd.interfaces import IEnvironment, IPoller
from scrapyd.launcher import ScrapyProcessProtocol, get_crawl_args
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.logger import Logger
from twisted.python.failure import Failure

from pixcrawler.scrapyd_node.keeper import Keeper

log = Logger()

STOP_SECONDS = 8.0  # a crawl gives its downloads 3, then closes its books; who stops the node kills it after 10
ENDINGS_KEPT = 1000  # a dispatcher asks within seconds
LAST_WORDS_SECONDS = 1.0  # for what a dead crawl has written; then its slot is free, whoever holds its output open


class Crawl(ScrapyProcessProtocol):
    """A crawl process, and the group of processes it leads."""

    ending = "could not be started"  # or how it ended, in words that follow "the crawl process"

    def signal(self, name: str) -> None:
        """Sends INT or TERM to the process, KILL to its whole group."""
        if name == "KILL":
            self._kill_group()
        with suppress(ProcessExitedAlready):
            self.transport.signalProcess(name)  # for KILL too: it may not lead its group yet

    def processExited(self, reason: Failure) -> None:  # noqa: N802  Twisted's name
        signalled = getattr(reason.value, "signal", None)
        status = getattr(reason.value, "exitCode", 0)
        self.ending = f"was killed by signal {signalled}" if signalled else f"ended with status {status}"
        self._kill_group()
        reactor.callLater(LAST_WORDS_SECONDS, self.transport.loseConnection)

    def _kill_group(self) -> None:
        if sys.platform != "win32":
            with suppress(OSError):  # there is none any more, or not yet
                os.killpg(self.pid, signal.SIGKILL)

    def outReceived(self, data: bytes) -> None:  # noqa: N802
        self._tell(data)

    def errReceived(self, data: bytes) -> None:  # noqa: N802
        self._tell(data)

    def _tell(self, data: bytes) -> None:
        for line in data.decode(errors="replace").splitlines():
            log.info("{job}: {line}", job=self.job, line=line)

    def __repr__(self) -> str:
        """Unlike Scrapyd's without the environment, which holds the password of the database."""
        return f"Crawl({self.job})"


class Launcher(scrapyd.launcher.Launcher):
    """Scrapyd's launcher, whose slots come free whatever goes wrong."""

    def __init__(self, config: Any, app: Any) -> None:
        super().__init__(config, app)
        self.processes: dict[int, Crawl] = {}
        self.last_start: datetime | None = None
        self.endings: dict[str, str] = {}  # job → how it ended: the last ones
        self.keeper = Keeper(Path(config.get("logs_dir")))
        self._waiting: dict[int, Deferred[Any]] = {}  # free slots
        self._all_ended: Deferred[None] | None = None  # set when the node is being stopped

    @property
    def at_work(self) -> set[tuple[str, str]]:
        """Source and job of the crawls that run."""
        return {(crawl.spider, crawl.job) for crawl in self.processes.values()}

    @property
    def stopping(self) -> bool:
        """Whether nothing more is started."""
        return self._all_ended is not None

    def stopService(self) -> Deferred[None]:  # noqa: N802
        """Starts nothing more, asks the crawls to end, kills those that do not. A second signal does not wait."""
        super().stopService()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)  # the node dies of it, and the kernel takes the crawls along
        self._all_ended = Deferred()
        for slot in list(self._waiting):
            self._waiting.pop(slot).cancel()
        for crawl in self.processes.values():
            crawl.signal("INT")
        reactor.callLater(STOP_SECONDS, self._kill)
        self._end_if_idle()
        return self._all_ended

    def _kill(self) -> None:
        for crawl in self.processes.values():
            log.warn("Job {job} did not end when asked and is killed", job=crawl.job)
            crawl.signal("KILL")

    def _end_if_idle(self) -> None:
        if self._all_ended is not None and not self.processes:
            self._all_ended.callback(None)

    def _get_message(self, slot: int) -> None:
        if self.stopping:
            return
        poller = self.app.getComponent(IPoller)
        self._waiting[slot] = poller.next()
        self._waiting[slot].addCallbacks(self._spawn_process, _only_cancelled, callbackArgs=(slot,))
        reactor.callLater(0, poller.poll)  # a job that waits should not wait for the next beat

    def _spawn_process(self, message: Mapping[str, Any], slot: int) -> None:
        del self._waiting[slot]
        try:
            crawl = self._spawn(dict(message), slot)
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            log.error("Job {job} could not be started: {reason}", job=message["_job"], reason=reason)
            self._end(Crawl(message["_project"], message["_spider"], message["_job"], {}, []), slot)
            return
        self.last_start = crawl.start_time
        self.processes[slot] = crawl
        crawl.deferred.addBoth(self._process_finished, slot)

    def _spawn(self, message: dict[str, Any], slot: int) -> Crawl:
        environment = self.app.getComponent(IEnvironment)
        message["settings"] = environment.get_settings(message)
        variables = environment.get_environment(message, slot)
        command = [sys.executable, "-m", self.runner, "crawl", *get_crawl_args(message)]
        crawl = Crawl(message["_project"], message["_spider"], message["_job"], variables, command)
        reactor.spawnProcess(crawl, sys.executable, args=command, env=variables)
        return crawl

    def _process_finished(self, _: object, slot: int) -> None:
        self._end(self.processes.pop(slot), slot)
        self._end_if_idle()

    def _end(self, crawl: Crawl, slot: int) -> None:
        crawl.end_time = datetime.now()  # noqa: DTZ005  Scrapyd's books are in local time
        self.endings[crawl.job] = crawl.ending
        if len(self.endings) > ENDINGS_KEPT:
            del self.endings[next(iter(self.endings))]
        self.keeper.ended(crawl.spider, crawl.job, crawl.ending)
        try:
            self.finished.add(crawl)
        except Exception as error:
            log.error("The end of job {job} could not be booked: {error!r}", job=crawl.job, error=error)
        self._get_message(slot)


def _only_cancelled(failure: Failure) -> None:
    failure.trap(CancelledError)
