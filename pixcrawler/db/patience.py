"""Waiting for a database that is away: in a transaction that must not be lost, in a loop that never ends."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pixcrawler.db.engine import transaction
from pixcrawler.errors import DatabaseUnavailable

T = TypeVar("T")
logger = logging.getLogger(__name__)

# What a statement may fail with because of others, not because of itself.
PASSING = {"40001", "40P01", "55P03", "57014"}  # serialization, deadlock, lock and statement timeout
FIRST_PAUSE = 0.05  # seconds; a deadlock's winner is through by then
LONGEST_PAUSE = 2.0  # within a transaction that somebody waits for
LONGEST_REST = 30.0  # of a loop nobody waits for


async def persist(engine: AsyncEngine, book: Callable[[AsyncConnection], Awaitable[T]], seconds: float) -> T:
    """`book` in a transaction, again while it fails for passing reasons. Raises `DatabaseUnavailable` after `seconds`.

    A commit may have happened although it seemed to fail: `book` must be safe to repeat.
    """
    deadline, pause = time.monotonic() + seconds, FIRST_PAUSE
    told = ""
    while True:
        try:
            async with transaction(engine) as connection:
                return await book(connection)
        except (DatabaseUnavailable, DBAPIError) as error:
            if not is_passing(error):
                raise
            reason = str(error).partition("\n")[0]
            if time.monotonic() > deadline:
                raise DatabaseUnavailable(reason) from error
            if reason != told:
                logger.warning("the database cannot be written, trying again: %s", reason)
            told = reason
        await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311  # jitter is no secret
        pause = min(2 * pause, LONGEST_PAUSE)


def is_passing(error: Exception) -> bool:
    """Whether the same may well succeed in a moment."""
    if isinstance(error, DatabaseUnavailable):
        return True
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in PASSING


async def repeat(step: Callable[[], Awaitable[bool]], stop: asyncio.Event, poll_seconds: float) -> None:
    """Takes one step after the other until `stop`; pauses after one that says there is nothing more to do."""
    pause = poll_seconds
    while not stop.is_set():
        try:
            if await step():
                continue
            pause = poll_seconds
        except DatabaseUnavailable as error:
            logger.warning("%s; trying again in %.1f s", error, pause)
            pause = min(2 * pause, LONGEST_REST)
        except DBAPIError as error:
            if not is_passing(error):
                raise
            logger.info("again: %s", str(error).partition("\n")[0])
            pause = poll_seconds
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause)
