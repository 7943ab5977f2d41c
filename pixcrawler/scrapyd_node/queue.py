"""The jobs that wait for a slot, in a file: they survive a restart of the node."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from scrapyd import sqlite
from scrapyd.spiderqueue import SqliteSpiderQueue
from twisted.logger import Logger

from pixcrawler.config import source_names

log = Logger()

PROJECT = "pixcrawler"
JOB_ID = re.compile(r"[0-9]{1,18}-[0-9]{1,9}")  # <run>-<attempt>, and a file's name
# The node answers nobody while it waits for the file, and nobody but the node has business there.
BUSY_MILLISECONDS = 200

Message = dict[str, Any]


class SpiderQueue(SqliteSpiderQueue):
    """Scrapyd's queue. A row that is no job is dropped when its turn comes, and not seen before."""

    def __init__(self, config: Any, project: str, table: str = "spider_queue") -> None:
        self.q = sqlite.initialize(_Rows, config, project, table)

    def pop(self) -> Message | None:
        """Takes out the next job, if there is one."""
        message: Message | None
        while (message := self.q.pop()) == {}:
            log.warn("A row of the queue was no job and is dropped")
        return message

    def list(self) -> list[Message]:
        """The jobs that wait."""
        return [message for message in super().list() if message]

    def knows(self, job: str) -> bool:
        """Whether the job waits."""
        return any(message["_job"] == job for message in self.list())

    def cancel(self, job: str) -> bool:
        """Takes the job out. False: it does not wait here."""
        return bool(self.remove(lambda message: message.get("_job") == job))


class _Rows(sqlite.JsonSqlitePriorityQueue):
    def __init__(self, database: str, table: str) -> None:
        super().__init__(database, table)
        be_impatient(self.conn)

    def decode(self, blob: Any) -> Message:
        """The job in a row; empty for a row that holds none."""
        try:
            message = super().decode(blob)
        except Exception:  # whatever JSON and bytes can do
            return {}
        return message if _is_job(message) else {}

    def put(self, message: Message, priority: float = 0.0) -> None:
        with whole(self.conn):
            super().put(message, priority)

    def pop(self) -> Message | None:
        with whole(self.conn):
            message: Message | None = super().pop()
            return message

    def remove(self, func: Any) -> int:
        with whole(self.conn):
            return int(super().remove(func))


def _is_job(message: Any) -> bool:
    return (
        isinstance(message, dict)
        and message.keys() == {"name", "_job"}
        and message["name"] in source_names()
        and isinstance(message["_job"], str)
        and JOB_ID.fullmatch(message["_job"]) is not None
    )


def be_impatient(connection: sqlite3.Connection) -> None:
    """Makes a locked file an error soon."""
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")


@contextmanager
def whole(connection: sqlite3.Connection) -> Iterator[None]:
    """Undoes what could not be finished, so that a later commit does not do it."""
    try:
        yield
    except sqlite3.Error:
        connection.rollback()
        raise
