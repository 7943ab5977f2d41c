"""What operators ask a node: the jobs in the database, and whether all is well."""

from __future__ import annotations

import re
import shutil
import sqlite3
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.defer import TimeoutError as Impatience
from twisted.internet.threads import deferToThread

import pixcrawler
from pixcrawler.config import config
from pixcrawler.db import overview, questions
from pixcrawler.db.check import check
from pixcrawler.db.questions import ANSWER_SECONDS
from pixcrawler.errors import DatabaseUnavailable, PixCrawlerError
from pixcrawler.jobs import JobState
from pixcrawler.scrapyd_node.services import Answer, Refused, Service

if TYPE_CHECKING:
    from pixcrawler.scrapyd_node.webroot import Root

T = TypeVar("T")

LEAST_DISK = 2**30  # bytes; the dataset of a large job and the pictures it is made of
LARGEST_LIMIT = 1000
LARGEST_ID = 2**31 - 1  # of public.crawl_jobs
STATES = frozenset(state.value for state in JobState) | {"running"}
UNASKED = frozenset({"project_id", "name", "keywords"})  # the owner's business


class Database:
    """Asked in a thread, one question at a time; without a connection in between."""

    def __init__(self) -> None:
        self._lock = DeferredLock()

    async def ask(self, question: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Raises `DatabaseUnavailable` if there is no answer in time."""
        try:
            await self._lock.acquire().addTimeout(ANSWER_SECONDS, reactor)
            asked = deferToThread(_answer, question)
            asked.addBoth(self._release)  # not before the thread has ended: a database that hangs gets one
            return await _patiently(asked)
        except Impatience:
            raise DatabaseUnavailable(f"the database did not answer within {ANSWER_SECONDS:g} seconds") from None

    def _release(self, result: T) -> T:
        self._lock.release()
        return result


def _patiently(asked: Deferred[T]) -> Deferred[T]:
    """The same answer, or `TimeoutError`; what was asked goes on."""
    answer: Deferred[T] = Deferred()
    asked.addCallbacks(answer.callback, answer.errback)
    return answer.addTimeout(ANSWER_SECONDS, reactor)


def _answer(question: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    url = config().database_url
    if url is None:
        raise DatabaseUnavailable("DATABASE_URL is not set")
    return questions.ask(url.get_secret_value(), question, "pixcrawler node")


class DatabaseService(Service):
    """A service that asks the database."""

    def __init__(self, root: Root) -> None:
        super().__init__(root)
        self.database = root.database

    async def ask(self, question: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Raises `Refused` if there is no answer."""
        try:
            return await self.database.ask(question)
        except PixCrawlerError as error:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from None


class CrawlJobs(DatabaseService):
    """The newest jobs."""

    async def answer(self, limit: str = "50", status: str | None = None) -> Answer:
        number = _number("limit", limit, LARGEST_LIMIT)
        if status is not None and status not in STATES:
            raise Refused(HTTPStatus.BAD_REQUEST, f"status: known are {', '.join(sorted(STATES))}")
        jobs = await self.ask(lambda connection: overview.newest_jobs(connection, number, status))
        return {"jobs": [_plain(job) for job in jobs]}


class CrawlJob(DatabaseService):
    """All there is to say about one job."""

    async def answer(self, id: str) -> Answer:  # noqa: A002  the argument's name
        number = _number("id", id, LARGEST_ID)
        seen = await self.ask(lambda connection: overview.overview(connection, number))
        if seen is None:
            raise Refused(HTTPStatus.NOT_FOUND, f"there is no job {number}")
        sources = {run.id: run.source for run in seen.runs}
        return {
            "job": _plain(seen.job),
            "runs": [_plain(run) for run in seen.runs],
            "attempts": [self._attempt(attempt, sources[attempt.run]) for attempt in seen.attempts],
            "exports": [_plain(export) for export in seen.exports],
            "funnel": seen.funnel.to_json(),
        }

    def _attempt(self, attempt: overview.Attempt, source: str) -> Answer:
        here = self.root.log_url(source, f"{attempt.run}-{attempt.attempt}")
        return {**_plain(attempt), "log": here or attempt.log}


def _number(name: str, text: str, largest: int) -> int:
    if not re.fullmatch("[0-9]{1,10}", text) or not 1 <= int(text) <= largest:
        raise Refused(HTTPStatus.BAD_REQUEST, f"{name}: expected a number from 1 to {largest}")
    return int(text)


def _plain(row: Any) -> Answer:
    return {name: _value(value) for name, value in asdict(row).items() if name not in UNASKED}


def _value(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


class Health(DatabaseService):
    """Whether all is well, and what is not."""

    def __init__(self, root: Root) -> None:
        super().__init__(root)
        self._began = time.monotonic()

    def status_of(self, answer: Answer) -> HTTPStatus:
        return HTTPStatus.OK if answer["healthy"] else HTTPStatus.SERVICE_UNAVAILABLE

    async def answer(self) -> Answer:
        database, problems = await self._database()
        free = free_disk()
        if free < LEAST_DISK:
            problems.append(f"the data folder's disk has {free} bytes left, less than {LEAST_DISK}")
        slots, wedged = slots_of(self.root)
        last_start = self.root.launcher.last_start
        return {
            "healthy": not problems + wedged,
            "problems": problems + wedged,
            "database": database,
            "disk_free": free,
            "slots": slots,
            "last_start": last_start.astimezone().isoformat() if last_start else None,
            "uptime": round(time.monotonic() - self._began),
            "version": pixcrawler.__version__,
        }

    async def _database(self) -> tuple[Answer, list[str]]:
        began = time.monotonic()
        try:
            differences = await self.database.ask(check)
        except PixCrawlerError as error:
            return {"reachable": False, "schema_right": None, "seconds": None}, [str(error)]
        seconds = round(time.monotonic() - began, 3)
        return {"reachable": True, "schema_right": not differences, "seconds": seconds}, differences


def slots_of(root: Root) -> tuple[Answer, list[str]]:
    """The slots and what waits for them, and what is wrong with that."""
    launcher = root.launcher
    slots = {"max_proc": launcher.max_proc, "running": len(launcher.processes)}
    try:
        pending = len(root.queue.list())
    except sqlite3.Error as error:
        return {**slots, "pending": None}, [f"the queue is out of reach: {error}"]
    wedged = pending > 0 and slots["running"] < slots["max_proc"]
    return {**slots, "pending": pending}, [f"{pending} jobs wait although a slot is free"] if wedged else []


def free_disk() -> int:
    """Bytes left on the disk of the data folder."""
    folder = config().data_dir
    while not folder.exists():  # nothing has been written yet
        folder = folder.parent
    return shutil.disk_usage(folder).free
