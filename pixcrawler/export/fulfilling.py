"""Waits for an export that somebody asked for. If no exporter takes it within a moment, whoever waits builds it.

That happens under the same claim and lease as an exporter's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from pixcrawler.config import Config
from pixcrawler.db import exports
from pixcrawler.db.engine import transaction
from pixcrawler.errors import ExportFailed
from pixcrawler.export.building import Builder
from pixcrawler.export.tiers import Tiers
from pixcrawler.jobs import UNFINISHED_EXPORTS, ExportState

LOOKS = 4  # of an idle exporter; whoever has not taken an export by then is busy or not there


class Order:
    """Waits for an export, or builds it."""

    def __init__(self, engine: AsyncEngine, config: Config, tiers: Tiers) -> None:
        self._engine = engine
        self._config = config
        self._builder = Builder(engine, config, tiers)

    async def fulfil(self, export: int, show: Callable[[Any], None]) -> Any:
        """The row once it is done; `show` gets it as it is now and then. Raises `ExportFailed` with the reason."""
        patience = time.monotonic() + LOOKS * self._config.poll_seconds
        building: asyncio.Task[bool] | None = None
        try:
            while (row := await self._look(export)) is not None and row.state in UNFINISHED_EXPORTS:
                show(row)
                if building is not None and building.done():
                    building.result()
                    building = None
                if building is None and time.monotonic() > patience:
                    building = asyncio.create_task(self._builder.build(export))
                await asyncio.sleep(self._config.poll_seconds)
            if building is not None:
                await building
        finally:
            await _ended(building)
        if row is None or row.state != ExportState.DONE:
            raise ExportFailed((row.reason or f"the export was {row.state}") if row else "the job is gone")
        return row

    async def _look(self, export: int) -> Any:
        async with transaction(self._engine) as connection:
            return await exports.get(connection, export)

    async def delete_moved(self, job: int) -> None:
        """Deletes the files that a move has left behind."""
        await self._builder.delete_removed(job)


async def _ended(task: asyncio.Task[Any] | None) -> None:
    if task is not None and not task.done():
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
