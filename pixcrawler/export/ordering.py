"""What people ask of an ended job: a dataset file of some kind, or that its dataset moves to another tier.

What is there is taken. What is not becomes a row like those that jobs wait for. An exporter builds it; if none takes it
within a moment, whoever asked does, under the same claim and lease.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pixcrawler.config import Config
from pixcrawler.db import exports, jobs, retiring
from pixcrawler.db.engine import transaction
from pixcrawler.errors import ExportFailed
from pixcrawler.export.building import Builder
from pixcrawler.export.tiers import Tiers
from pixcrawler.jobs import (
    TERMINAL_JOBS,
    UNFINISHED_EXPORTS,
    ExportFormat,
    ExportState,
    JobState,
    Tier,
    kind_in,
)

LOOKS = 4  # of an idle exporter; whoever has not taken an export by then is busy or not there
DONE = [ExportState.DONE]


async def ask(connection: AsyncConnection, job_id: int, kind: ExportFormat, options: Mapping[str, Any]) -> Any:
    """The newest finished export with these options, or one that is to be built now.

    Of a job that is at work again it may be of an earlier version. Raises `ExportFailed` if there can be none.
    """
    job = await jobs.lock(connection, job_id)
    if job is not None and job.state not in TERMINAL_JOBS:
        earlier = await exports.newest(connection, job_id, kind, options, DONE)
        if earlier is not None:
            return earlier
    _require_ended(job_id, job)
    states = [*DONE, *UNFINISHED_EXPORTS]
    known = await exports.newest(connection, job_id, kind, options, states, generation=job.generation)
    return known or await exports.get(connection, await exports.create(connection, job, kind, options))


async def ask_move(connection: AsyncConnection, job_id: int, tier: Tier) -> Any:
    """The export by which a job's dataset comes to a tier. If it is there, the others are given up at once."""
    job = await jobs.lock(connection, job_id)
    _require_ended(job_id, job)
    about = (connection, job_id, kind_in(tier), job.options.get("export") or {})
    done = await exports.newest(*about, DONE, generation=job.generation)
    if done is not None:
        await retiring.leave(connection, done)
        return done
    asked = await exports.newest(*about, UNFINISHED_EXPORTS, generation=job.generation)
    if asked is not None and asked.moves:
        return asked
    return await exports.get(connection, await exports.create(connection, job, *about[2:], moves=True))


def _require_ended(job_id: int, job: Any) -> None:
    if job is None or job.state == JobState.PENDING:
        raise ExportFailed(f"job {job_id} has not begun: there is nothing to export")
    if job.state not in TERMINAL_JOBS:
        raise ExportFailed(f"job {job_id} is {job.state}: its dataset is there when it has ended")
    if not job.kept:
        raise ExportFailed(f"job {job_id} has kept no image: there is nothing to export")


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
