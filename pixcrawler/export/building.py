"""Builds one export after the other: packed in a folder of this machine, read back, stored, then published.

The files of each try lie under keys of its own, and one guarded statement makes them the dataset. Whoever is killed
before leaves files that nobody refers to, which are swept, and a row that the next one takes up.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import shutil
import tempfile
from array import array
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from rich.filesize import decimal
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pixcrawler import faults, logs
from pixcrawler.config import Config
from pixcrawler.db import copies, exports, images, jobs, retiring, runs, sweeping
from pixcrawler.db.engine import transaction
from pixcrawler.db.exports import Made
from pixcrawler.db.patience import persist
from pixcrawler.errors import DatabaseUnavailable, ExportFailed, LeaseLost, StorageFailed, UsageError
from pixcrawler.export import formats
from pixcrawler.export.dataset import Dataset, DatasetImage, RunLine
from pixcrawler.export.lease import Lease
from pixcrawler.export.tiers import Tiers, delete_all
from pixcrawler.export_options import ExportOptions
from pixcrawler.jobs import ExportFormat, Funnel, Tier
from pixcrawler.metrics import EXPORT_BYTES, EXPORT_SECONDS

Value = TypeVar("Value")
logger = logging.getLogger(__name__)

PLACES = 10_000  # rows of two numbers asked for at once
ROWS = 500  # whole rows, of about 2 kB each


class Builder:
    """Builds exports under a lease."""

    def __init__(self, engine: AsyncEngine, config: Config, tiers: Tiers) -> None:
        self._engine = engine
        self._config = config
        self._tiers = tiers

    async def build_next(self) -> bool:
        """Builds an export that nobody builds. False: there is none."""
        return await self._claim_and_build(exports.next_free)

    async def build(self, export: int) -> bool:
        """Builds this one. False: somebody else does, or its job is not where it can be built."""
        return await self._claim_and_build(lambda connection: exports.get(connection, export))

    async def _claim_and_build(self, choose: Callable[[AsyncConnection], Awaitable[Any]]) -> bool:
        async with transaction(self._engine) as connection:
            free = await choose(connection)
            job = await jobs.lock(connection, free.job) if free else None
            if job is None or not exports.buildable(job, free):
                return False
            mine = await exports.claim(connection, free.id, self._config.export_lease_seconds)
            if mine is None:
                return False
            await sweeping.unsweep(connection, job.id)
        faults.reach("exporter.claimed")
        if mine.tries > exports.TRIES:
            await self._give_up(job, mine, "the exporter died while building it")
        else:
            with logs.about(job=job.id, trace=job.trace):
                await self._build(job, mine)
        return True

    async def _build(self, job: Any, mine: Any) -> None:
        lease = Lease(self._engine, mine, self._config.export_lease_seconds)
        try:
            async with lease.held():
                with EXPORT_SECONDS.time():
                    await self._pack(job, mine, lease)
        except LeaseLost as lost:
            logger.info("%s: job %s, version %s", lost, job.id, mine.version)
        except (ExportFailed, StorageFailed, UsageError) as error:
            logger.error("export of job %s: %s", job.id, error)
            await self._give_up(job, mine, str(error))
        except asyncio.CancelledError:
            with suppress(DatabaseUnavailable):
                async with transaction(self._engine) as connection:
                    await exports.release(connection, mine.id, mine.tries)
            raise

    async def _give_up(self, job: Any, mine: Any, reason: str) -> None:
        async def book(connection: AsyncConnection) -> None:
            await jobs.share(connection, job.id)
            await exports.give_up(connection, mine.id, mine.tries, reason)

        await self._persist(book)

    async def _pack(self, job: Any, mine: Any, lease: Lease) -> None:
        kind, options = ExportFormat(mine.format), ExportOptions.parse(mine.options)
        dataset = await self._load(job, mine)
        lease.pictures, picture_bytes = await self._in_one_piece(job, images.total)
        places = await self._places(job, lease)
        storage = await self._tiers.storage(Tier.HOT)

        def read(key: str) -> bytes:
            lease.check()
            return storage.read(key)

        with _workshop(self._config) as folder:
            _require_room(folder, formats.disk_needed(kind, picture_bytes, lease.pictures, options))
            groups = await copies.alike(self._persist, job.id) if options.split else {}
            pictures = self._pictures(job, places, groups, asyncio.get_running_loop())
            built = await lease.in_thread(formats.build, kind, dataset, pictures, read, folder, options, lease.tell)
            await lease.in_thread(formats.verify, kind, folder, built)
            faults.reach("exporter.built")
            await self._store(mine, folder, built, lease)
        faults.reach("exporter.published")

    async def _store(self, mine: Any, folder: Path, built: formats.Built, lease: Lease) -> None:
        """Stores and publishes; what is not published is deleted again."""
        storage, place = await self._tiers.storage(Tier(mine.tier)), sweeping.folder_of(mine)
        keys = [f"{place}/{file.name}" for file in built.files]
        try:
            for key, file in zip(keys, built.files, strict=True):
                lease.check()
                await storage.put_file(key, folder / file.name, file.content_type)
        except (LeaseLost, asyncio.CancelledError):
            await delete_all(storage, keys)
            raise
        faults.reach("exporter.stored")
        if not await self._persist(lambda connection: self._publish(connection, mine, _made(place, built))):
            await delete_all(storage, keys)
            return
        EXPORT_BYTES.inc(sum(file.size for file in built.files))
        if mine.moves:
            faults.reach("moving.published")
            await self.delete_removed(mine.job)

    async def _publish(self, connection: AsyncConnection, mine: Any, made: Made) -> bool:
        job = await jobs.lock(connection, mine.job)
        if await exports.is_published(connection, mine.id, made.key):
            return True  # the commit went through, and we were not told
        if job is None or not exports.buildable(job, mine):
            return False
        if not await exports.publish(connection, mine.id, mine.tries, made):
            return False
        if mine.moves:
            await retiring.leave(connection, mine)
        return True

    async def delete_removed(self, job: int | None = None) -> None:
        """Deletes the files of exports that are removed, of one job or of all."""
        for export in await self._persist(lambda connection: retiring.undeleted(connection, job)):
            keys = [file["key"] for file in exports.files_of(export)]
            if await delete_all(await self._tiers.storage(Tier(export.tier)), keys):
                await self._note_deleted(export.id)

    async def _note_deleted(self, export: int) -> None:
        await self._persist(lambda connection: retiring.deleted(connection, export))

    async def _persist(self, book: Callable[[AsyncConnection], Awaitable[Value]]) -> Value:
        """A transaction that waits for the database: what was built must not be built again."""
        return await persist(self._engine, book, self._config.export_lease_seconds)

    async def _load(self, job: Any, mine: Any) -> Dataset:
        history = await self._persist(lambda connection: runs.of_job(connection, job.id))
        lines = [RunLine(run.source, tuple(run.slices), **run.funnel) for run in history if run.funnel]
        return Dataset(
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

    async def _in_one_piece(self, job: Any, ask: Callable[..., Awaitable[Value]], *more: Any) -> Value:
        """What is asked of the pictures while nobody adds any. Raises `LeaseLost` once the job is taken up again."""

        async def question(connection: AsyncConnection) -> Value:
            now = await jobs.share(connection, job.id)
            if now is None or now.generation != job.generation:
                raise LeaseLost(f"job {job.id} was taken up again")
            return await ask(connection, job.id, *more)

        return await self._persist(question)

    async def _places(self, job: Any, lease: Lease) -> array[int]:
        """The ids of all pictures in the order of their positions, in 8 bytes each."""
        ids, positions = array("q"), array("q")
        while rows := await self._in_one_piece(job, images.places, ids[-1] if ids else 0, PLACES):
            lease.check()
            ids.extend(row.id for row in rows)
            positions.extend(row.position or 0 for row in rows)
        return array("q", (ids[place] for place in sorted(range(len(ids)), key=positions.__getitem__)))

    def _pictures(
        self, job: Any, ids: array[int], groups: Mapping[int, str], loop: asyncio.AbstractEventLoop
    ) -> Iterator[DatasetImage]:
        """The pictures by their ids, a page at a time; for a thread beside the loop."""
        for start in range(0, len(ids), ROWS):
            page = self._in_one_piece(job, _rows, ids[start : start + ROWS].tolist())
            for row in asyncio.run_coroutine_threadsafe(page, loop).result():
                yield DatasetImage.from_row(row, groups.get(row["id"], ""))


def _timeframe(history: Iterable[Any]) -> tuple[datetime, datetime] | None:
    ended = [run for run in history if run.ended_at]
    if not ended:
        return None
    return min(run.created_at for run in ended), max(run.ended_at for run in ended)


async def _rows(connection: AsyncConnection, _job: int, ids: list[int]) -> list[Any]:
    return list(await images.get(connection, ids))


def _made(place: str, built: formats.Built) -> Made:
    """A single file stands for itself, several for their folder."""
    if len(built.files) == 1:
        [file] = built.files
        return Made(f"{place}/{file.name}", file.size, file.sha256, None, built.pictures)
    lines = "".join(f"{file.sha256}  {file.name}\n" for file in built.files)
    facts = [{"name": file.name, "size": file.size, "sha256": file.sha256} for file in built.files]
    size = sum(file.size for file in built.files)
    return Made(place, size, hashlib.sha256(lines.encode()).hexdigest(), facts, built.pictures)


def _require_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ExportFailed(f"needs {decimal(needed)}, {decimal(free)} free at {folder.parent}")


@contextmanager
def _workshop(config: Config) -> Iterator[Path]:
    """A folder for files in the making, gone afterwards."""
    try:
        (config.data_dir / "tmp").mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(dir=config.data_dir / "tmp")
    except OSError as error:
        raise StorageFailed(f"{config.data_dir / 'tmp'}: {error.strerror}") from None
    with folder:
        yield Path(folder.name)
