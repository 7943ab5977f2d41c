"""What a node says, as JSON: Twisted's events become records of Python's logging."""

from __future__ import annotations

import logging
from typing import Any

from twisted.logger import ILogObserver, formatEvent
from zope.interface import implementer

from pixcrawler import logs
from pixcrawler.scrapyd_node.queue import JOB_ID


@implementer(ILogObserver)
class JsonLog:
    """Passes on every event, with the attempt that it is about."""

    def __call__(self, event: dict[str, Any]) -> None:
        level = logging.getLevelNamesMapping()[event["log_level"].name.upper()]
        failure = event.get("log_failure")
        caught = (failure.type, failure.value, failure.getTracebackObject()) if failure else None
        logger = logging.getLogger(event.get("log_namespace", "twisted"))
        with logs.about(**_attempt(event.get("job"))):
            logger.log(level, "%s", formatEvent(event), exc_info=caught)


def _attempt(job: object) -> dict[str, int]:
    if not isinstance(job, str) or not JOB_ID.fullmatch(job):
        return {}
    run, attempt = job.split("-")
    return {"run": int(run), "attempt": int(attempt)}
