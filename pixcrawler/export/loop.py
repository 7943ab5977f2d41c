"""The exporter: builds the dataset files of jobs, keeps to the retention rules, and sweeps what belongs to nothing.

An export is pending, building under a lease, then done; or pending again after a failed try, failed after three; or
cancelled with its job. One that is done may be removed one day; its job keeps a whole dataset.
"""

from __future__ import annotations

import asyncio
import logging
import time

from sqlalchemy.ext.asyncio import AsyncEngine

from pixcrawler.config import Config
from pixcrawler.db import check, engine, timing
from pixcrawler.db.engine import transaction
from pixcrawler.db.patience import repeat
from pixcrawler.errors import StorageFailed, UsageError
from pixcrawler.export.building import Builder
from pixcrawler.export.retention import Retention
from pixcrawler.export.sweeping import Sweeper
from pixcrawler.export.tiers import Tiers
from pixcrawler.jobs import Tier

logger = logging.getLogger(__name__)

CONNECTIONS = 2  # one for the work, one for the lease
RETENTION_SECONDS = 3600  # between two looks at what is counted in days


async def run(url: str, config: Config, stop: asyncio.Event) -> None:
    """Exports until `stop` is set. A database that goes away is waited for; at start it must be there."""
    exporter = Exporter(url, config)
    try:
        await exporter.require()
        logger.info("exporting")
        await repeat(exporter.step, stop, config.poll_seconds)
        logger.info("database: %s", exporter.timings)
    finally:
        await exporter.close()


class Exporter:
    """Does one thing after the other."""

    def __init__(self, url: str, config: Config) -> None:
        self._engine: AsyncEngine = engine.create(url, application_name="pixcrawler exporter", pool_size=CONNECTIONS)
        self.timings = timing.measure(self._engine)
        self._tiers = tiers = Tiers(config)
        self._builder = Builder(self._engine, config, tiers)
        self._retention = Retention(self._engine, config, tiers)
        self._sweeper = Sweeper(self._engine, config, tiers)
        self._looked_at = -float(RETENTION_SECONDS)

    async def require(self) -> None:
        """Raises `SchemaMismatch` for a database we cannot serve, `UsageError` for a storage that cannot be written."""
        await self._tiers.storage(Tier.HOT)
        async with transaction(self._engine) as connection:
            await check.require(connection)

    async def close(self) -> None:
        """Closes the connections."""
        await self._engine.dispose()

    async def step(self) -> bool:
        """Builds, retires or sweeps once. False: there was nothing to do."""
        return await self.build_next() or await self.retire_next() or await self.sweep_next()

    async def build_next(self) -> bool:
        """Builds an export that nobody builds. False: there is none."""
        return await self._builder.build_next()

    async def retire_next(self) -> bool:
        """Carries out, once an hour, what retention says. False: there was nothing."""
        if time.monotonic() - self._looked_at < RETENTION_SECONDS:
            return False
        try:
            due = await self._retention.due()
            await self._retention.carry_out(due)
        except (StorageFailed, UsageError) as error:  # only space is lost; again in an hour
            logger.error("retention: %s", error)
            due = None
        self._looked_at = time.monotonic()
        return bool(due)

    async def sweep_next(self) -> bool:
        """Sweeps a job that ended long enough ago. False: there is none."""
        return await self._sweeper.sweep_next()
