"""Decisions in batches: a transaction costs as much for one picture as for sixty-four."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress

from pixcrawler.db.candidates import Decision
from pixcrawler.items import ImageItem
from pixcrawler.jobs import Reason

logger = logging.getLogger(__name__)

BATCH = 64  # decisions a transaction, half of what may be in flight: the other half is fetched meanwhile
BATCH_SECONDS = 0.25  # how long a decision waits for company

# Books stored pictures and rejections (with their keywords); returns the decision of every picture that has one.
Book = Callable[[Sequence[ImageItem], Sequence[tuple[str, Decision]]], Awaitable[dict[str, str]]]


class Batches:
    """Has decisions booked once there are enough, or everything in flight waits for one, or their time is up."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._in_flight: set[str] = set()
        self._waiting: list[tuple[ImageItem, asyncio.Future[str]]] = []
        self._rejected: list[tuple[str, Decision]] = []
        self._flushing: asyncio.Task[None] | None = None
        self._full = asyncio.Event()

    def begin(self, keys: Iterable[str]) -> None:
        """Counts candidates as in flight until they are decided."""
        self._in_flight.update(keys)

    async def keep(self, item: ImageItem) -> str:
        """The decision on a stored picture, once it is durable; CANCELLED if none was made."""
        decision: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, decision))
        self._flush_soon()
        return await decision

    def reject(self, keyword: str, decision: Decision) -> None:
        """Has a rejection booked."""
        self._rejected.append((keyword, decision))
        self._flush_soon()

    async def settle(self) -> None:
        """Waits until everything handed in is booked."""
        if self._flushing is not None:
            await self._flushing

    def _flush_soon(self) -> None:
        if len(self._waiting) + len(self._rejected) >= min(BATCH, len(self._in_flight)):
            self._full.set()
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())

    async def _flush(self) -> None:
        while self._waiting or self._rejected:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._full.wait(), BATCH_SECONDS)
            self._full.clear()
            waiting, self._waiting = self._waiting, []
            rejected, self._rejected = self._rejected, []
            try:
                decided = await self._book([item for item, _ in waiting], rejected)
            except Exception as error:  # whoever waits must hear of it, or the crawl never ends
                self._hand_on(waiting, error)
            else:
                self._answer(waiting, decided)
            self._in_flight.difference_update(item.key for item, _ in waiting)
            self._in_flight.difference_update(decision.key for _, decision in rejected)

    def _answer(self, waiting: Sequence[tuple[ImageItem, asyncio.Future[str]]], decided: dict[str, str]) -> None:
        for item, future in waiting:
            if not future.done():
                future.set_result(decided.get(item.key, Reason.CANCELLED))

    def _hand_on(self, waiting: Sequence[tuple[ImageItem, asyncio.Future[str]]], error: Exception) -> None:
        logger.error("decisions could not be booked: %s", error)
        for _, future in waiting:
            if not future.done():
                future.set_exception(error)
