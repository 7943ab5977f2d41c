"""The jobs that have ended, in a file."""

from __future__ import annotations

import sqlite3
from itertools import islice
from typing import Any

from scrapyd.jobstorage import SqliteJobStorage
from twisted.logger import Logger

from pixcrawler.scrapyd_node.queue import be_impatient, whole

log = Logger()


class JobStorage(SqliteJobStorage):
    """Scrapyd's storage. What cannot be booked now is remembered, and booked with the next."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._unbooked: list[Any] = []
        be_impatient(self.jobs.conn)

    def add(self, job: Any) -> None:
        """Books a job that has ended."""
        self._unbooked.append(job)
        try:
            while self._unbooked:
                with whole(self.jobs.conn):
                    super().add(self._unbooked[0])
                del self._unbooked[0]
        except sqlite3.Error as error:
            log.error("The end of job {job} is booked later: {error}", job=job.job, error=error)

    def knows(self, project: str, job: str) -> bool:
        """Whether the job has ended here; one question, however many there are."""
        if any((known.project, known.job) == (project, job) for known in self._unbooked):
            return True
        statement = f"SELECT 1 FROM {self.jobs.table} WHERE job = ? AND project = ? LIMIT 1"  # noqa: S608  our table
        return self.jobs.conn.execute(statement, (job, project)).fetchone() is not None

    def newest(self, number: int) -> list[Any]:
        """The last jobs that have ended, the newest first."""
        return list(islice(self, number))
