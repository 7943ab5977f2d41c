"""Statements on `crawler.exports`: dataset files, wanted and made."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db.crawler import exports, jobs
from pixcrawler.jobs import ExportState, JobState

TRIES = 3  # a dataset that cannot be built three times will not be built the fourth


def _free() -> ColumnElement[bool]:
    return or_(
        exports.c.state == ExportState.PENDING,
        (exports.c.state == ExportState.BUILDING) & (exports.c.lease_until <= func.now()),
    )


async def create(connection: AsyncConnection, *, job: int, generation: int) -> None:
    """Asks for the job's dataset: a ZIP in the hot tier, without which it does not complete."""
    version = select(func.coalesce(func.max(exports.c.version), 0) + 1).where(exports.c.job == job)
    row = {
        "job": job,
        "generation": generation,
        "version": version.scalar_subquery(),
        "format": "zip",
        "tier": "hot",
        "awaited": True,
        "state": ExportState.PENDING,
    }
    await connection.execute(insert(exports).values(row))


async def of_generation(connection: AsyncConnection, job: int, generation: int) -> list[Any]:
    """The dataset files of one generation of a job."""
    statement = select(exports).where(exports.c.job == job, exports.c.generation == generation)
    return list((await connection.execute(statement.order_by(exports.c.id))).all())


async def next_free(connection: AsyncConnection) -> Any:
    """An export nobody builds (id, job), not locked: claim it under its job's lock."""
    statement = (
        select(*exports.c["id", "job"])
        .join(jobs, jobs.c.id == exports.c.job)
        .where(jobs.c.state == JobState.EXPORTING, jobs.c.generation == exports.c.generation, _free())
        .order_by(exports.c.id)
        .limit(1)
    )
    return (await connection.execute(statement)).one_or_none()


async def claim(connection: AsyncConnection, export: int, lease_seconds: float) -> Any:
    """Takes an export to build; the whole row. None: somebody else has."""
    values = {
        "state": ExportState.BUILDING,
        "tries": exports.c.tries + 1,
        "lease_until": func.now() + timedelta(seconds=lease_seconds),
    }
    statement = update(exports).where(exports.c.id == export, _free()).values(values).returning(exports)
    return (await connection.execute(statement)).one_or_none()


def _mine(export: int, tries: int) -> ColumnElement[bool]:
    return (exports.c.id == export) & (exports.c.tries == tries) & (exports.c.state == ExportState.BUILDING)


async def renew(connection: AsyncConnection, export: int, tries: int, lease_seconds: float) -> bool:
    """Renews the lease of our try. False: it is not ours any more."""
    values = {"lease_until": func.now() + timedelta(seconds=lease_seconds)}
    statement = update(exports).where(_mine(export, tries)).values(values).returning(exports.c.id)
    return (await connection.scalar(statement)) is not None


async def publish(connection: AsyncConnection, export: int, tries: int, *, key: str, size: int, sha256: str) -> bool:
    """Marks the file of our try as the dataset, once or again. False: it is not ours any more."""
    values = {"state": ExportState.DONE, "key": key, "size": size, "sha256": sha256, "ended_at": func.now()}
    published = (exports.c.id == export) & (exports.c.state == ExportState.DONE) & (exports.c.key == key)
    ours = or_(_mine(export, tries), published)
    statement = update(exports).where(ours).values(values).returning(exports.c.id)
    return (await connection.scalar(statement)) is not None


async def give_up(connection: AsyncConnection, export: int, tries: int, reason: str) -> None:
    """Books a failed try: pending again, or failed after the last."""
    state = ExportState.FAILED if tries >= TRIES else ExportState.PENDING
    values: dict[str, Any] = {"state": state, "reason": reason}
    if state is ExportState.FAILED:
        values["ended_at"] = func.now()
    await connection.execute(update(exports).where(_mine(export, tries)).values(values))


async def cancel_all(connection: AsyncConnection, job: int) -> None:
    """Cancels what is not built yet."""
    unbuilt = exports.c.state.in_([ExportState.PENDING, ExportState.BUILDING])
    values = {"state": ExportState.CANCELLED, "ended_at": func.now()}
    await connection.execute(update(exports).where(exports.c.job == job, unbuilt).values(values))


async def keys(connection: AsyncConnection, job: int) -> set[str]:
    """The storage keys of a job's finished dataset files."""
    statement = select(exports.c.key).where(exports.c.job == job, exports.c.state == ExportState.DONE)
    return {key for key in await connection.scalars(statement) if key}
