"""Keeps what crawls leave beside each other in the node's folder: counts them in, and copies their logs to storage.

A crawl writes its statistics next to its log, `<run>-<attempt>.json`, once a heartbeat. When it has ended, however it
did, both are copied and the statistics deleted here: what still has some is yet to be copied.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from prometheus_client import Metric
from sqlalchemy import select
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.python.failure import Failure

from pixcrawler.config import config
from pixcrawler.db.crawler import runs
from pixcrawler.db.questions import ask
from pixcrawler.metrics import Sum
from pixcrawler.scrapyd_node.queue import PROJECT
from pixcrawler.storage import open_storage, run_logs

log = Logger()

LEFT_SECONDS = 600.0  # a crawl writes every ten seconds: what is older has been left by one that is gone


class Keeper:
    """The logs and statistics of a node's crawls."""

    def __init__(self, logs_dir: Path) -> None:
        self._folder = logs_dir / PROJECT
        self._ended = Sum()

    def counted(self, running: Collection[tuple[str, str]]) -> Iterator[Metric]:
        """What the crawls since the start of this node have counted. `running`: source and job of those that run."""
        return self._ended.with_these(self._facts(*one).get("counted", []) for one in running)

    def ended(self, spider: str, job: str, ending: str) -> None:
        """Counts in a crawl that has ended, and begins to copy what it has left."""
        facts = self._facts(spider, job)
        self._ended.add(facts.get("counted", []))
        self._copy(self._file(spider, job), {**facts, "ending": ending})

    def copy_left(self, running: Collection[tuple[str, str]]) -> None:
        """Copies what was left by crawls that died with their node, and what could not be copied before."""
        for file in self._folder.glob("*/*.json"):
            if (file.parent.name, file.stem) not in running and _age(file) > LEFT_SECONDS:
                self._copy(file, self._facts(file.parent.name, file.stem))

    def _copy(self, file: Path, facts: dict[str, Any]) -> Deferred[None]:
        copied: Deferred[None] = deferToThread(_copy, file, facts)
        return copied.addErrback(_say_why, file.stem)

    def _facts(self, spider: str, job: str) -> dict[str, Any]:
        """What a crawl has written of itself; nothing, if it has written nothing yet."""
        try:
            facts: dict[str, Any] = json.loads(self._file(spider, job).read_bytes())
        except (OSError, ValueError):
            return {}
        return facts

    def _file(self, spider: str, job: str) -> Path:
        return self._folder / spider / f"{job}.json"


def _age(file: Path) -> float:
    try:
        return time.time() - file.stat().st_mtime
    except OSError:  # copied in the meantime
        return 0.0


def _copy(file: Path, facts: dict[str, Any]) -> None:
    text = file.with_suffix(".log")
    job = facts.get("job") or _job_of(file.stem)
    if job is not None and text.is_file():
        left = {name: fact for name, fact in facts.items() if name != "counted"}
        asyncio.run(run_logs.store(open_storage(config()), job, file.stem, run_logs.excerpt(text), left))
    file.unlink(missing_ok=True)


def _job_of(attempt: str) -> int | None:
    """Whose attempt it was, for a crawl that ended before it knew."""
    url = config().database_url
    if url is None:
        return None
    run = int(attempt.partition("-")[0])
    job: int | None = ask(
        url.get_secret_value(),
        lambda connection: connection.scalar(select(runs.c.job).where(runs.c.id == run)),
        "pixcrawler node",
    )
    return job


def _say_why(failure: Failure, attempt: str) -> None:
    error = " ".join(failure.getErrorMessage().split())
    log.warn("The log of {job} stays on this node for now: {error}", job=attempt, error=error)
