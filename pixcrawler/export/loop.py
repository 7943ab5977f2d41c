"""The exporter: builds the dataset files of jobs whose crawling is over, and sweeps what belongs to no dataset.

An export is pending, building under a lease, then done; or pending again after a failed try, failed after three; or
cancelled with its job. Its file is written once under a key of its own try, and published by one guarded statement.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pixcrawler import faults
from pixcrawler.config import Config
from pixcrawler.db import check, engine, exports, images, jobs, runs, timing
from pixcrawler.db.engine import transaction
from pixcrawler.db.patience import persist, repeat
from pixcrawler.errors import DatabaseUnavailable, ExportFailed, StorageFailed
from pixcrawler.export import formats
from pixcrawler.export.dataset import Dataset, DatasetImage, RunLine
from pixcrawler.export_options import ExportOptions
from pixcrawler.jobs import ExportFormat, Funnel, JobState
from pixcrawler.storage import Storage, open_storage

Value = TypeVar("Value")
logger = logging.getLogger(__name__)

SWEPT_AT_ONCE = 100  # files; deleted in far less than the 10 s after which an idle transaction is ended
CONNECTIONS = 2  # one for the work, one for the lease


async def run(url: str, config: Config, stop: asyncio.Event) -> None:
    """Exports until `stop` is set. A database that goes away is waited for; at start it must be there."""
    exporter = Exporter(url, config)
    try:
        await exporter.require_schema()
        logger.info("exporting")
        await repeat(exporter.step, stop, config.poll_seconds)
        logger.info("database: %s", exporter.timings)
    finally:
        await exporter.close()


class Exporter:
    """Builds one dataset file after the other."""

    def __init__(self, url: str, config: Config) -> None:
        self._config = config
        self._engine: AsyncEngine = engine.create(url, application_name="pixcrawler exporter", pool_size=CONNECTIONS)
        self.timings = timing.measure(self._engine)
        self._storage: Storage = open_storage(config)

    async def require_schema(self) -> None:
        """Raises `SchemaMismatch` for a database we cannot serve."""
        async with transaction(self._engine) as connection:
            await check.require(connection)

    async def close(self) -> None:
        """Closes the connections."""
        await self._engine.dispose()

    async def step(self) -> bool:
        """Builds or sweeps once. False: there was nothing to do."""
        return await self.build_next() or await self.sweep_next()

    async def build_next(self) -> bool:
        """Builds an export that nobody builds. False: there is none."""
        async with transaction(self._engine) as connection:
            free = await exports.next_free(connection)
            job = await jobs.share(connection, free.job) if free else None
            if job is None or job.state != JobState.EXPORTING:
                return False
            mine = await exports.claim(connection, free.id, self._config.export_lease_seconds)
        faults.reach("exporter.claimed")
        if mine is not None and mine.tries > exports.TRIES:
            await self._give_up(job, mine, "the exporter died while building it")
        elif mine is not None:
            await self._build(job, mine)
        return True

    async def _build(self, job: Any, mine: Any) -> None:
        try:
            async with self._lease(mine):
                await self._pack(job, mine)
        except (ExportFailed, StorageFailed) as error:
            logger.error("export of job %s: %s", job.id, error)
            await self._give_up(job, mine, str(error))

    async def _give_up(self, job: Any, mine: Any, reason: str) -> None:
        async def book(connection: AsyncConnection) -> None:
            await jobs.share(connection, job.id)
            await exports.give_up(connection, mine.id, mine.tries, reason)

        await self._persist(book)

    async def _pack(self, job: Any, mine: Any) -> None:
        dataset, rows = await self._load(job, mine)
        pictures = map(DatasetImage.from_row, rows)
        kind, options = ExportFormat.ZIP, ExportOptions()
        with _workshop(self._config) as folder:
            built = await asyncio.to_thread(
                formats.build, kind, dataset, pictures, self._storage.read, folder, options, lambda packed: None
            )
            await asyncio.to_thread(formats.verify, kind, folder, built)
            faults.reach("exporter.built")
            (archive,) = built.files
            key = f"jobs/{job.id}/exports/{mine.version}.{mine.tries}/{archive.name}"
            await self._storage.put_file(key, folder / archive.name, archive.content_type)
        faults.reach("exporter.stored")
        file = {"key": key, "size": archive.size, "sha256": archive.sha256}
        if not await self._persist(lambda connection: self._publish(connection, job.id, mine, file)):
            await self._storage.delete(key)
        faults.reach("exporter.published")

    async def _publish(self, connection: AsyncConnection, job: int, mine: Any, file: dict[str, Any]) -> bool:
        now = await jobs.share(connection, job)
        wanted = now is not None and now.state == JobState.EXPORTING
        return wanted and await exports.publish(connection, mine.id, mine.tries, **file)

    async def _persist(self, book: Callable[[AsyncConnection], Awaitable[Value]]) -> Value:
        """A transaction that waits for the database: what was built must not be built again."""
        return await persist(self._engine, book, self._config.export_lease_seconds)

    async def _load(self, job: Any, mine: Any) -> tuple[Dataset, list[Any]]:
        rows, history = await self._persist(lambda connection: self._read(connection, job.id))
        lines = [RunLine(run.source, tuple(run.slices), **run.funnel) for run in history if run.funnel]
        dataset = Dataset(
            job=job.id,
            name=job.name,
            keywords=tuple(job.keywords),
            sources=tuple(job.options["sources"]),
            asked=job.requested,
            kept=job.kept,
            outcome=job.reason or f"all {job.kept} images that were asked for",
            funnel=Funnel.total(Funnel.from_json(run.funnel) for run in history if run.funnel),
            runs=tuple(lines),
            collected=_timeframe(history),
            version=mine.version,
        )
        return dataset, rows

    async def _read(self, connection: AsyncConnection, job: int) -> tuple[list[Any], list[Any]]:
        rows = await images.of_job(connection, job)
        return list(rows), await runs.of_job(connection, job)

    @asynccontextmanager
    async def _lease(self, mine: Any) -> AsyncIterator[None]:
        renewing = asyncio.create_task(self._renew(mine))
        try:
            yield
        finally:
            renewing.cancel()
            with suppress(asyncio.CancelledError):
                await renewing

    async def _renew(self, mine: Any) -> None:
        while True:
            await asyncio.sleep(self._config.export_lease_seconds / 4)
            with suppress(DatabaseUnavailable, DBAPIError):
                async with transaction(self._engine) as connection:
                    await exports.renew(connection, mine.id, mine.tries, self._config.export_lease_seconds)

    async def sweep_next(self) -> bool:
        """Sweeps a terminal job that was never swept, under its row lock. False: there is none.

        What lies there is listed before the lock: a new generation's pictures are not among it.
        """
        async with transaction(self._engine) as connection:
            job = await jobs.unswept(connection)
        if job is None:
            return False
        try:
            stored = await self._storage.list(f"jobs/{job}/")
        except StorageFailed as error:  # only space is lost, and the next job waits
            logger.error("storage of job %s cannot be listed: %s", job, error)
            stored = []
        async with transaction(self._engine) as connection:
            if await jobs.lock_unswept(connection, job):
                await self._sweep(connection, job, stored)
                await jobs.swept(connection, job)
        return True

    async def _sweep(self, connection: AsyncConnection, job: int, stored: Iterable[str]) -> None:
        """Deletes what no row refers to: the losers of races, the leftovers of dead processes and failed tries.

        Only as long as the job's row is locked: once it is retried, there may be pictures whose rows are yet to come.
        """
        rows = await images.of_job(connection, job)
        wanted = {row["metadata"]["storage_key"] for row in rows} | await exports.keys(connection, job)
        for place, key in enumerate(key for key in stored if key not in wanted):
            if place % SWEPT_AT_ONCE == 0:
                await connection.execute(select(1))  # fails if the lock is gone, and keeps the session from idling
            try:
                await self._storage.delete(key)
            except StorageFailed as error:
                logger.error("%s is not needed and cannot be deleted: %s", key, error)


def _timeframe(history: Iterable[Any]) -> tuple[datetime, datetime] | None:
    ended = [run for run in history if run.ended_at]
    if not ended:
        return None
    return min(run.created_at for run in ended), max(run.ended_at for run in ended)


@contextmanager
def _workshop(config: Config) -> Iterator[Path]:
    """A folder for a file in the making, gone afterwards."""
    try:
        (config.data_dir / "tmp").mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(dir=config.data_dir / "tmp")
    except OSError as error:
        raise StorageFailed(f"{config.data_dir / 'tmp'}: {error.strerror}") from None
    with folder:
        yield Path(folder.name)
