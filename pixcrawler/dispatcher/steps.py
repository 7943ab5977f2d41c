"""One step for each of many jobs, so that none of them can hold up the others."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pixcrawler import faults, logs
from pixcrawler.db.engine import transaction
from pixcrawler.db.patience import is_passing
from pixcrawler.errors import DatabaseUnavailable

logger = logging.getLogger(__name__)
Subject = TypeVar("Subject")


async def for_each(
    engine: AsyncEngine,
    subjects: Iterable[Subject],
    step: Callable[[AsyncConnection, Subject], Awaitable[object]],
    point: str,
) -> None:
    """Takes `step` for every subject in a transaction of its own, each followed by the fault `point`.

    What fails is logged, and tried at the next tick.
    """
    for subject in subjects:
        with logs.about(job=getattr(subject, "job", getattr(subject, "id", subject))):
            await _take(engine, subject, step, point)


async def _take(
    engine: AsyncEngine,
    subject: Subject,
    step: Callable[[AsyncConnection, Subject], Awaitable[object]],
    point: str,
) -> None:
    try:
        async with transaction(engine) as connection:
            await step(connection, subject)
        faults.reach(point)
    except DatabaseUnavailable:
        raise
    except Exception as error:  # a job that cannot be brought on must not stop the others
        about = (step.__name__.strip("_"), getattr(subject, "id", subject))
        if is_passing(error):
            logger.info("%s of %s again: %s", *about, str(error).partition("\n")[0])
        else:
            logger.exception("%s of %s failed", *about)
