"""The sweeper: deletes what lies in a job's storage, is old, and belongs to nothing.

What lies there is listed first and looked for in the books afterwards, so that whatever was stored meanwhile is not
among it. No transaction is open while storage is asked. A lease on the job keeps it from being crawled again: it is
renewed every heartbeat, and each deletion has what is left of it to take its time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from pixcrawler.config import Config
from pixcrawler.db import images, sweeping
from pixcrawler.db.engine import transaction
from pixcrawler.errors import StorageFailed, UsageError
from pixcrawler.export.tiers import Tiers
from pixcrawler.jobs import Tier
from pixcrawler.storage import Storage, run_logs

logger = logging.getLogger(__name__)

LISTED_AT_ONCE = 10_000  # keys; 2 MB, and one look at the rows of the job


class Sweeper:
    """Sweeps one job after the other."""

    def __init__(self, engine: AsyncEngine, config: Config, tiers: Tiers) -> None:
        self._engine = engine
        self._config = config
        self._tiers = tiers

    async def sweep_next(self) -> bool:
        """Sweeps a job that ended long enough ago. False: there is none.

        Where storage fails, the job is tried again when its lease is over.
        """
        sent = time.monotonic()
        async with transaction(self._engine) as connection:
            row = await sweeping.claim(connection, self._config.sweep_seconds, self._config.lease_seconds)
        if row is None:
            return False
        hold = _Hold(self._engine, self._config, row, sent)
        try:
            await self._sweep(hold, row.now - timedelta(seconds=self._config.sweep_seconds))
        except _Over:
            await hold.end(swept=False)
        except (StorageFailed, UsageError) as error:  # only space is lost, and the next job waits
            logger.error("storage of job %s cannot be swept: %s", row.id, error)
        else:
            await hold.end(swept=True)
        return True

    async def _sweep(self, hold: _Hold, then: datetime) -> None:
        async with transaction(self._engine) as connection:
            used = await sweeping.tiers_of(connection, hold.job)
        for tier in sorted({Tier.HOT, *used}):
            storage = await self._tiers.storage(tier)
            async for keys in _old(storage, f"jobs/{hold.job}/", then):
                for key in await self._useless(hold.job, keys):
                    await hold.keep()
                    await storage.delete(key)

    async def _useless(self, job: int, keys: list[str]) -> list[str]:
        async with transaction(self._engine) as connection:
            pictures = await images.keys_among(connection, job, keys)
            datasets, in_the_making = await sweeping.dataset_files(connection, job)
        needed = pictures | datasets
        return [key for key in keys if not (key in needed or key.startswith(in_the_making) or run_logs.is_log(key))]


class _Over(Exception):
    """The job was taken up again, or somebody else sweeps it."""


class _Hold:
    """The lease of a sweep."""

    def __init__(self, engine: AsyncEngine, config: Config, row: Any, renewed: float) -> None:
        self._engine = engine
        self._config = config
        self._row = row
        self._renewed = renewed
        self.job: int = row.id

    async def keep(self) -> None:
        """Renews the lease if that is due. Raises `_Over`."""
        sent = time.monotonic()
        if sent - self._renewed < self._config.heartbeat_seconds:
            return
        async with transaction(self._engine) as connection:
            row = await sweeping.renew(connection, self._row, self._config.lease_seconds)
        if row is None:
            raise _Over
        self._row, self._renewed = row, sent

    async def end(self, *, swept: bool) -> None:
        """Gives the lease back."""
        async with transaction(self._engine) as connection:
            await sweeping.end(connection, self._row, swept=swept)


async def _old(storage: Storage, prefix: str, then: datetime) -> AsyncIterator[list[str]]:
    """The keys of files that were not touched since, some at a time."""
    keys: list[str] = []
    async for entry in storage.entries(prefix):
        if entry.modified_at <= then:
            keys.append(entry.key)
        if len(keys) >= LISTED_AT_ONCE:
            yield keys
            keys = []
    if keys:
        yield keys
