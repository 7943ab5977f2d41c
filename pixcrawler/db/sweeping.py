"""Statements of a sweep: which job's storage is due, the lease on it, and what of it somebody refers to.

A sweep has a lease on a job that has ended. Taking the job up again ends it, and its runs wait for the end of the
lease: nothing that they store can be what the sweeper has found to be of no use.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db.crawler import exports, jobs
from pixcrawler.db.exports import files_of
from pixcrawler.jobs import TERMINAL_JOBS, UNFINISHED_EXPORTS, ExportState, Tier


async def claim(connection: AsyncConnection, age_seconds: float, lease_seconds: float) -> Any:
    """Takes a job (id, sweep_until, now) at which nothing was done for that long. None: there is none."""
    then = func.now() - timedelta(seconds=age_seconds)
    at_work = exists().where(
        exports.c.job == jobs.c.id, or_(exports.c.state.in_(UNFINISHED_EXPORTS), exports.c.ended_at > then)
    )
    due = (
        select(jobs.c.id)
        .where(
            jobs.c.state.in_(TERMINAL_JOBS),
            jobs.c.swept_at.is_(None),
            jobs.c.finished_at <= then,
            or_(jobs.c.sweep_until.is_(None), jobs.c.sweep_until <= func.now()),
            ~at_work,
        )
        .order_by(jobs.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .cte("due")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    statement = (
        update(jobs)
        .where(jobs.c.id == due.c.id)
        .values(sweep_until=_lease(lease_seconds))
        .returning(jobs.c.id, jobs.c.sweep_until, func.now().label("now"))
    )
    return (await connection.execute(statement)).one_or_none()


def _lease(seconds: float) -> ColumnElement[Any]:
    return func.clock_timestamp() + timedelta(seconds=seconds)


def _mine(sweep: Any) -> ColumnElement[bool]:
    ours: ColumnElement[bool] = (jobs.c.id == sweep.id) & (jobs.c.sweep_until == sweep.sweep_until)
    return ours


async def renew(connection: AsyncConnection, sweep: Any, lease_seconds: float) -> Any:
    """Renews the lease; the sweep as it is now. None: the job was taken up again, or is swept by somebody else."""
    statement = (
        update(jobs)
        .where(_mine(sweep), jobs.c.state.in_(TERMINAL_JOBS))
        .values(sweep_until=_lease(lease_seconds))
        .returning(jobs.c.id, jobs.c.sweep_until, func.now().label("now"))
    )
    return (await connection.execute(statement)).one_or_none()


async def end(connection: AsyncConnection, sweep: Any, *, swept: bool) -> None:
    """Gives the lease back, if it is still ours; `swept`: nothing is left that belongs to nobody."""
    values = {"sweep_until": None, **({"swept_at": func.now()} if swept else {})}
    await connection.execute(update(jobs).where(_mine(sweep)).values(values))


async def unsweep(connection: AsyncConnection, job: int) -> None:
    """Remembers that something may be left behind again."""
    await connection.execute(update(jobs).where(jobs.c.id == job, jobs.c.swept_at.is_not(None)).values(swept_at=None))


async def tiers_of(connection: AsyncConnection, job: int) -> set[Tier]:
    """Where datasets of a job are, or may have been left."""
    statement = select(exports.c.tier).where(exports.c.job == job).distinct()
    return {Tier(tier) for tier in await connection.scalars(statement)}


async def dataset_files(connection: AsyncConnection, job: int) -> tuple[set[str], tuple[str, ...]]:
    """The storage keys of a job's finished datasets, and the prefixes below which others are in the making."""
    statement = select(exports).where(exports.c.job == job)
    rows = (await connection.execute(statement)).all()
    done = {file["key"] for row in rows if row.state == ExportState.DONE for file in files_of(row)}
    return done, tuple(f"{folder_of(row)}/" for row in rows if row.state == ExportState.BUILDING)


def folder_of(export: Any) -> str:
    """Where our try at an export puts its files."""
    return f"jobs/{export.job}/exports/{export.version}.{export.tries}"
