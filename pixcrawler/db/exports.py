"""Statements on `crawler.exports`: dataset files, wanted and made."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db.crawler import exports, jobs
from pixcrawler.jobs import TERMINAL_JOBS, UNFINISHED_EXPORTS, ExportFormat, ExportState, JobState, tier_of

TRIES = 3  # a dataset that cannot be built three times will not be built the fourth


@dataclass(frozen=True, slots=True)
class Made:
    """The files of a dataset, as they lie in storage."""

    key: str  # of the file, or of the folder of several
    size: int  # bytes in all
    sha256: str  # of the file, or of what sha256sum prints of several
    files: Sequence[Mapping[str, Any]] | None  # of several: name below the folder, size, sha256
    pictures: int


def files_of(export: Any) -> list[dict[str, Any]]:
    """The files (key, name, size, sha256) of a finished export."""
    if export.files is None:
        name = export.key.rpartition("/")[2]
        return [{"key": export.key, "name": name, "size": export.size, "sha256": export.sha256}]
    return [{"key": f"{export.key}/{file['name']}", **file} for file in export.files]


def _free() -> ColumnElement[bool]:
    return or_(
        exports.c.state == ExportState.PENDING,
        (exports.c.state == ExportState.BUILDING) & (exports.c.lease_until <= func.now()),
    )


def buildable(job: Any, export: Any) -> bool:
    """Whether a job is where its export is built: an awaited one before it completes, any other once it has ended."""
    now = job.state == JobState.EXPORTING if export.awaited else job.state in TERMINAL_JOBS
    return bool(now and job.generation == export.generation)


async def create(
    connection: AsyncConnection,
    job: Any,
    kind: ExportFormat,
    options: Mapping[str, Any],
    *,
    awaited: bool = False,
    moves: bool = False,
) -> int:
    """Asks for a dataset file of a job whose row is locked. Returns its id."""
    version = select(func.coalesce(func.max(exports.c.version), 0) + 1).where(exports.c.job == job.id)
    row = {
        "job": job.id,
        "generation": job.generation,
        "version": version.scalar_subquery(),
        "format": kind,
        "tier": tier_of(kind),
        "options": options,
        "awaited": awaited,
        "moves": moves,
        "state": ExportState.PENDING,
    }
    export: int = (await connection.execute(insert(exports).values(row).returning(exports.c.id))).scalar_one()
    return export


async def get(connection: AsyncConnection, export: int) -> Any:
    """The whole row. None: it is gone with its job."""
    return (await connection.execute(select(exports).where(exports.c.id == export))).one_or_none()


async def of_generation(connection: AsyncConnection, job: int, generation: int) -> list[Any]:
    """The dataset files of one generation of a job."""
    statement = select(exports).where(exports.c.job == job, exports.c.generation == generation)
    return list((await connection.execute(statement.order_by(exports.c.id))).all())


async def finished(connection: AsyncConnection, of_jobs: Collection[int]) -> dict[int, int]:
    """How many finished exports each of these jobs has."""
    statement = select(exports.c.job, func.count()).where(
        exports.c.job.in_(of_jobs), exports.c.state == ExportState.DONE
    )
    return {row[0]: row[1] for row in await connection.execute(statement.group_by(exports.c.job))}


async def newest(
    connection: AsyncConnection,
    job: int,
    kind: ExportFormat,
    options: Mapping[str, Any],
    states: Collection[ExportState],
    *,
    generation: int | None = None,
) -> Any:
    """The newest export with these very options in one of the states, of one generation or of any. None: none."""
    alike = [exports.c.job == job, exports.c.format == kind, exports.c.options == options, exports.c.state.in_(states)]
    if generation is not None:
        alike.append(exports.c.generation == generation)
    statement = select(exports).where(*alike).order_by(exports.c.version.desc()).limit(1)
    return (await connection.execute(statement)).one_or_none()


async def next_free(connection: AsyncConnection) -> Any:
    """The row of an export nobody builds, not locked: claim it under its job's lock."""
    at_its_place = or_(
        and_(exports.c.awaited, jobs.c.state == JobState.EXPORTING),
        and_(~exports.c.awaited, jobs.c.state.in_(TERMINAL_JOBS)),
    )
    statement = (
        select(exports)
        .join(jobs, jobs.c.id == exports.c.job)
        .where(at_its_place, jobs.c.generation == exports.c.generation, _free())
        .order_by(exports.c.id)
        .limit(1)
    )
    return (await connection.execute(statement)).one_or_none()


async def claim(connection: AsyncConnection, export: int, lease_seconds: float) -> Any:
    """Takes an export to build; the whole row. None: somebody else has."""
    values = {
        "state": ExportState.BUILDING,
        "tries": exports.c.tries + 1,
        "progress": 0,
        "lease_until": func.now() + timedelta(seconds=lease_seconds),
    }
    statement = update(exports).where(exports.c.id == export, _free()).values(values).returning(exports)
    return (await connection.execute(statement)).one_or_none()


def _mine(export: int, tries: int) -> ColumnElement[bool]:
    return (exports.c.id == export) & (exports.c.tries == tries) & (exports.c.state == ExportState.BUILDING)


async def renew(connection: AsyncConnection, export: int, tries: int, lease_seconds: float, progress: int) -> bool:
    """Renews the lease of our try, and says how far it is. False: it is not ours any more."""
    values = {"lease_until": func.now() + timedelta(seconds=lease_seconds), "progress": progress}
    statement = update(exports).where(_mine(export, tries)).values(values).returning(exports.c.id)
    return (await connection.scalar(statement)) is not None


async def is_published(connection: AsyncConnection, export: int, key: str) -> bool:
    """Whether the files under `key` are this export's already."""
    statement = select(exports.c.id).where(exports.c.id == export, exports.c.key == key)
    return (await connection.scalar(statement.where(exports.c.state == ExportState.DONE))) is not None


async def publish(connection: AsyncConnection, export: int, tries: int, made: Made) -> bool:
    """Marks the files of our try as the dataset. False: it is not ours any more."""
    values = {
        "state": ExportState.DONE,
        "progress": 100,
        "reason": None,
        "key": made.key,
        "size": made.size,
        "sha256": made.sha256,
        "files": made.files,
        "pictures": made.pictures,
        "ended_at": func.now(),
    }
    statement = update(exports).where(_mine(export, tries)).values(values).returning(exports.c.id)
    return (await connection.scalar(statement)) is not None


async def give_up(connection: AsyncConnection, export: int, tries: int, reason: str) -> None:
    """Books a failed try: pending again, or failed after the last."""
    state = ExportState.FAILED if tries >= TRIES else ExportState.PENDING
    values: dict[str, Any] = {"state": state, "reason": reason}
    if state is ExportState.FAILED:
        values["ended_at"] = func.now()
    await connection.execute(update(exports).where(_mine(export, tries)).values(values))


async def release(connection: AsyncConnection, export: int, tries: int) -> None:
    """Puts our try back as if it had not been: somebody wanted us to stop."""
    values = {"state": ExportState.PENDING, "tries": exports.c.tries - 1, "progress": 0}
    await connection.execute(update(exports).where(_mine(export, tries)).values(values))


async def cancel_all(connection: AsyncConnection, job: int) -> None:
    """Cancels what is not built yet."""
    values = {"state": ExportState.CANCELLED, "ended_at": func.now()}
    unbuilt = (exports.c.job == job) & exports.c.state.in_(UNFINISHED_EXPORTS)
    await connection.execute(update(exports).where(unbuilt).values(values))
