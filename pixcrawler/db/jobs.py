"""Statements on `crawler.jobs`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import and_, exists, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db.crawler import candidates, jobs, runs
from pixcrawler.jobs import TERMINAL_JOBS, JobState, candidate_limit

# Read after the lock was taken, so that later means later: now() is the beginning of the transaction.
clock = func.clock_timestamp()


async def claim(
    connection: AsyncConnection,
    job: int,
    *,
    owner: UUID | None,
    project_id: int | None,
    name: str,
    keywords: list[str],
    asked: int,
    options: dict[str, Any],
    deadline_seconds: float,
) -> bool:
    """Takes a pending job. False: somebody else has."""
    values: dict[str, Any] = {
        "state": JobState.CRAWLING,
        "owner": owner,
        "project_id": project_id,
        "name": name,
        "keywords": keywords,
        "asked": asked,
        "options": options,
        "deadline": func.now() + timedelta(seconds=deadline_seconds),
    }
    return await _take(connection, job, values)


async def refuse(connection: AsyncConnection, job: int, owner: UUID | None, reason: str) -> bool:
    """Takes a pending job that cannot be done, as failed. False: somebody else has taken it."""
    values: dict[str, Any] = {
        "state": JobState.FAILED,
        "owner": owner,
        "keywords": [],
        "asked": 0,
        "outcome": "failed",
        "reason": reason,
        "finished_at": func.now(),
    }
    return await _take(connection, job, values)


async def _take(connection: AsyncConnection, job: int, values: dict[str, Any]) -> bool:
    """One job, one claim: of a job that somebody has taken nothing changes."""
    statement = (
        insert(jobs)
        .values(id=job, **values)
        .on_conflict_do_update(index_elements=["id"], set_=values, where=jobs.c.state == JobState.PENDING)
        .returning(jobs.c.id)
    )
    return (await connection.scalar(statement)) is not None


async def lock(connection: AsyncConnection, job: int) -> Any:
    """The whole row, locked until the end of the transaction. None: no such job."""
    return (await connection.execute(select(jobs).where(jobs.c.id == job).with_for_update())).one_or_none()


async def share(connection: AsyncConnection, job: int) -> Any:
    """The whole row, which nobody else can change until the end of the transaction."""
    return (await connection.execute(select(jobs).where(jobs.c.id == job).with_for_update(read=True))).one_or_none()


async def in_state(connection: AsyncConnection, *states: JobState) -> list[int]:
    """The ids of the jobs in one of these states, in order."""
    return list((await connection.scalars(select(jobs.c.id).where(jobs.c.state.in_(states)).order_by(jobs.c.id))).all())


async def to_plan(connection: AsyncConnection) -> list[int]:
    """Crawling jobs that were never planned, or of which a run has ended since, or whose time is up."""
    ended_since = exists().where(runs.c.job == jobs.c.id, runs.c.ended_at >= jobs.c.planned_at)
    statement = select(jobs.c.id).where(
        jobs.c.state == JobState.CRAWLING,
        or_(jobs.c.planned_at.is_(None), ended_since, jobs.c.deadline <= func.now()),
    )
    return list((await connection.scalars(statement.order_by(jobs.c.id))).all())


async def of_too_many_candidates(connection: AsyncConnection) -> list[int]:
    """Crawling jobs that have met more candidates than they may; see `jobs.candidate_limit`."""
    statement = (
        select(jobs.c.id)
        .join(candidates, candidates.c.job == jobs.c.id)
        .where(jobs.c.state == JobState.CRAWLING)
        .group_by(jobs.c.id)
        .having(func.count() >= candidate_limit(jobs.c.asked))
    )
    return list((await connection.scalars(statement)).all())


async def planned(connection: AsyncConnection, job: int) -> None:
    """Remembers that the job was planned with all that is known now."""
    await connection.execute(update(jobs).where(jobs.c.id == job).values(planned_at=clock))


async def move(
    connection: AsyncConnection, job: int, before: Iterable[JobState], state: JobState, **changes: object
) -> bool:
    """Compare-and-set of the state. False: the job was in none of the states `before`."""
    if state in TERMINAL_JOBS:
        changes["finished_at"] = func.now()
    statement = (
        update(jobs)
        .where(and_(jobs.c.id == job, jobs.c.state.in_(list(before))))
        .values(state=state, **changes)
        .returning(jobs.c.id)
    )
    return (await connection.scalar(statement)) is not None


async def wanted(connection: AsyncConnection, job: int, generation: int) -> bool:
    """Whether this generation of the job still crawls."""
    statement = select(jobs.c.state).where(jobs.c.id == job, jobs.c.generation == generation)
    return (await connection.scalar(statement)) == JobState.CRAWLING


async def count_kept(connection: AsyncConnection, job: int, number: int) -> bool:
    """Adds to the kept pictures, never beyond what was asked. False: they would not fit."""
    statement = (
        update(jobs)
        .where(jobs.c.id == job, jobs.c.kept + number <= jobs.c.asked)
        .values(kept=jobs.c.kept + number)
        .returning(jobs.c.id)
    )
    return (await connection.scalar(statement)) is not None


async def lock_name(connection: AsyncConnection, name: str) -> None:
    """Takes an advisory lock (a scope, a node) until the end of the transaction: the first lock of all."""
    await connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name})


async def unswept(connection: AsyncConnection) -> int | None:
    """A terminal job whose storage was never swept, locked; None: there is none."""
    statement = (
        select(jobs.c.id)
        .where(jobs.c.state.in_(TERMINAL_JOBS), jobs.c.swept_at.is_(None))
        .order_by(jobs.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    job: int | None = await connection.scalar(statement)
    return job


async def swept(connection: AsyncConnection, job: int) -> None:
    """Remembers that a job's storage holds nothing but what belongs to it."""
    await connection.execute(update(jobs).where(jobs.c.id == job).values(swept_at=func.now()))
