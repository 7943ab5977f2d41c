"""Which dataset files may go, and how: first their row says so, then they are deleted. A job keeps a whole dataset.

Whole is a dataset with pictures, nothing left out or changed but what the job itself asked for.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, FromClause, and_, func, or_, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.expression import cast, exists

from pixcrawler.db import exports as made
from pixcrawler.db.crawler import exports, jobs
from pixcrawler.jobs import (
    PACKED_FORMATS,
    TERMINAL_JOBS,
    UNFINISHED_EXPORTS,
    ExportFormat,
    ExportState,
    JobState,
    Tier,
)

NOTHING = cast({}, JSONB)


def _whole(export: FromClause) -> ColumnElement[bool]:
    its_job = jobs.alias()
    asked = select(func.coalesce(its_job.c.options["export"], NOTHING)).where(its_job.c.id == export.c.job)
    return and_(
        export.c.state == ExportState.DONE,
        export.c.format.in_(PACKED_FORMATS),
        or_(export.c.options == NOTHING, export.c.options == asked.scalar_subquery()),
    )


def _dispensable() -> ColumnElement[bool]:
    """Whether the job has a whole dataset without it, of the same pictures or more."""
    other = exports.alias()
    another = exists().where(
        other.c.job == exports.c.job,
        other.c.id != exports.c.id,
        other.c.generation >= exports.c.generation,
        _whole(other),
    )
    return or_(another, and_(~exports.c.awaited, ~_whole(exports)))


async def temporary(connection: AsyncConnection, days: int) -> list[Any]:
    """Finished exports that nobody needs for so many days: superseded, or made on demand and dispensable."""
    newer = exports.alias()
    then = func.now() - timedelta(days=days)
    superseded = exists().where(
        newer.c.job == exports.c.job, newer.c.generation > exports.c.generation, _whole(newer), newer.c.ended_at < then
    )
    on_demand = and_(~exports.c.awaited, ~exports.c.moves, exports.c.ended_at < then)
    statement = select(exports).where(exports.c.state == ExportState.DONE, or_(superseded, on_demand), _dispensable())
    return list((await connection.execute(statement.order_by(exports.c.id))).all())


async def retire(connection: AsyncConnection, export: int) -> bool:
    """Gives up a finished export of a job whose row is locked. False: it is the last whole one, or gone already."""
    done = (exports.c.id == export) & (exports.c.state == ExportState.DONE)
    statement = update(exports).where(done, _dispensable()).values(state=ExportState.REMOVED).returning(exports.c.id)
    return (await connection.scalar(statement)) is not None


async def leave(connection: AsyncConnection, moved: Any) -> None:
    """Gives up what a dataset that was moved to its tier replaces; it is done, and its job's row is locked.

    From the hot tier everything goes, from the warm one only what was moved there.
    """
    elsewhere = (exports.c.job == moved.job) & (exports.c.id != moved.id) & (exports.c.state == ExportState.DONE)
    left = exports.c.tier == Tier.HOT if moved.tier == Tier.WARM else (exports.c.tier == Tier.WARM) & exports.c.moves
    await connection.execute(update(exports).where(elsewhere, left).values(state=ExportState.REMOVED))


async def cooling(connection: AsyncConnection, days: int) -> list[int]:
    """Completed jobs whose whole dataset has been in the hot tier for so many days, and does not move already."""
    moving = exports.alias()
    asked = exists().where(
        moving.c.job == jobs.c.id,
        moving.c.generation == jobs.c.generation,
        moving.c.moves,
        moving.c.tier == Tier.WARM,
        moving.c.state.in_([*UNFINISHED_EXPORTS, ExportState.FAILED]),
    )
    hot = (exports.c.job == jobs.c.id) & (exports.c.generation == jobs.c.generation) & (exports.c.tier == Tier.HOT)
    statement = (
        select(jobs.c.id)
        .join(exports, hot & _whole(exports))
        .where(jobs.c.state == JobState.COMPLETED, ~asked)
        .group_by(jobs.c.id)
        .having(func.max(exports.c.ended_at) < func.now() - timedelta(days=days))
    )
    return list((await connection.scalars(statement.order_by(jobs.c.id))).all())


async def undeleted(connection: AsyncConnection, job: int | None = None) -> list[Any]:
    """Removed exports whose files may still be there, of one job or of all."""
    statement = select(exports).where(exports.c.state == ExportState.REMOVED, exports.c.key.is_not(None))
    if job is not None:
        statement = statement.where(exports.c.job == job)
    return list((await connection.execute(statement.order_by(exports.c.id))).all())


async def deleted(connection: AsyncConnection, export: int) -> None:
    """Notes that the files of a removed export are gone."""
    removed = (exports.c.id == export) & (exports.c.state == ExportState.REMOVED)
    await connection.execute(update(exports).where(removed).values(key=None, files=None))


async def lists_in_use(connection: AsyncConnection) -> set[str]:
    """The storage keys of the lists that unfinished jobs crawl."""
    of_unfinished = select(jobs.c.options["list"].astext).where(jobs.c.state.not_in(TERMINAL_JOBS))
    return {key for key in await connection.scalars(of_unfinished) if key}


async def withdraw(connection: AsyncConnection, job: Any, *, left: int) -> None:
    """Gives up all datasets of a locked job that is left with so many pictures, and has the newest made anew.

    A job at work makes its own when it ends; what it waits for now is begun again.
    """
    its = exports.c.job == job.id
    building = its & (exports.c.state == ExportState.BUILDING)
    await connection.execute(update(exports).where(building).values(state=ExportState.PENDING, progress=0))
    done = its & (exports.c.state == ExportState.DONE)
    rows = (await connection.execute(select(exports).where(done).order_by(exports.c.version.desc()))).all()
    await connection.execute(update(exports).where(done).values(state=ExportState.REMOVED, awaited=False))
    if not left:
        await made.cancel_all(connection, job.id)
        return
    newest = {(row.format, json.dumps(row.options, sort_keys=True)): row for row in reversed(rows)}
    for row in sorted(newest.values(), key=lambda row: int(row.version)):
        about = (connection, job.id, ExportFormat(row.format), row.options)
        awaited = job.state == JobState.EXPORTING and row.awaited and row.generation == job.generation
        if not (awaited or job.state in TERMINAL_JOBS):
            continue
        if awaited or await made.newest(*about, UNFINISHED_EXPORTS, generation=job.generation) is None:
            await made.create(connection, job, *about[2:], awaited=awaited)
