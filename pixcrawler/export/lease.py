"""Our try at an export: renewed while it is at work, told how far it is, and lost when somebody else has it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from pixcrawler.db import exports
from pixcrawler.db.engine import transaction
from pixcrawler.errors import DatabaseUnavailable, LeaseLost

Value = TypeVar("Value")
logger = logging.getLogger(__name__)

BEAT_SECONDS = 1.0  # progress is told no more often


class Lease:
    """Used by the exporter's loop and by the thread that builds: `check` and `tell` are called there."""

    def __init__(self, engine: AsyncEngine, mine: Any, seconds: float) -> None:
        self._engine = engine
        self._mine = mine
        self._seconds = seconds
        self._over = threading.Event()
        self._packed = 0
        self.pictures = 0  # to be packed

    def check(self) -> None:
        """Raises `LeaseLost` if whatever is built is built for nobody."""
        if self._over.is_set():
            raise LeaseLost(f"export {self._mine.id} is not ours any more")

    def tell(self, packed: int) -> None:
        """Remembers how many pictures are packed."""
        self.check()
        self._packed = packed

    async def in_thread(self, work: Callable[..., Value], *arguments: Any) -> Value:
        """Like `asyncio.to_thread`; when cancelled it has the work end, and waits for that."""
        task = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._over.set()
            with suppress(Exception):
                await task
            raise

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Renews the lease inside."""
        renewing = asyncio.create_task(self._renew())
        try:
            yield
        finally:
            renewing.cancel()
            with suppress(asyncio.CancelledError):
                await renewing

    async def _renew(self) -> None:
        renewed, told = time.monotonic(), 0
        while not self._over.is_set():
            await asyncio.sleep(min(BEAT_SECONDS, self._seconds / 4))
            sent = time.monotonic()
            with suppress(DatabaseUnavailable, DBAPIError):
                if not await self._beat():
                    self._over.set()
                renewed = sent
            if sent - renewed > self._seconds:
                self._over.set()
            if self._packed > told:
                told = self._packed
                logger.info("job %s, version %s: %s of %s pictures", *self._about, told, self.pictures)

    async def _beat(self) -> bool:
        percent = 100 * self._packed // max(self.pictures, self._packed, 1)
        async with transaction(self._engine) as connection:
            return await exports.renew(connection, self._mine.id, self._mine.tries, self._seconds, percent)

    @property
    def _about(self) -> tuple[int, int]:
        return self._mine.job, self._mine.version
