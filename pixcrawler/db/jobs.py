"""Statements on `crawler.jobs`, and the two ways out of a terminal state: `retry` and `extend`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import and_, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db import accounts, crawl_jobs, exports, locks, messages
from pixcrawler.db.crawler import candidates, jobs, runs
from pixcrawler.errors import UsageError
from pixcrawler.jobs import TERMINAL_JOBS, JobState, Reason, candidate_limit

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
    requested: int,
    options: dict[str, Any],
    deadline_seconds: float,
) -> bool:
    """Takes a pending job. False: somebody else has. What its owner can pay is yet to be held."""
    values: dict[str, Any] = {
        "state": JobState.CRAWLING,
        "owner": owner,
        "project_id": project_id,
        "name": name,
        "keywords": keywords,
        "requested": requested,
        "asked": requested,
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
        "requested": 0,
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


async def hold_credits(connection: AsyncConnection, job: int, owner: UUID, wanted: int, name: str) -> int:
    """Holds what the owner can pay of `wanted` more images, and asks for as many. Returns how many."""
    amount, transaction = await accounts.hold(connection, job, owner, wanted, name)
    changed = {"asked": jobs.c.charged + amount, "hold": transaction}
    await connection.execute(update(jobs).where(jobs.c.id == job).values(changed))
    return amount


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
    """Crawling jobs that have met more candidates than they may; see `candidates_allowed`."""
    statement = (
        select(jobs.c.id)
        .join(candidates, candidates.c.job == jobs.c.id)
        .where(jobs.c.state == JobState.CRAWLING, candidates.c.decision.is_distinct_from(Reason.DUPLICATE_URL))
        .group_by(jobs.c.id)
        .having(func.count() >= candidates_allowed(jobs.c.asked, jobs.c.generation))
    )
    return list((await connection.scalars(statement)).all())


def candidates_allowed(asked: Any, generation: Any) -> Any:
    """Addresses a job may meet, each counted once, before it ends short. Of numbers, or of columns.

    Every generation adds as many again: a job that has met its limit must be able to look further when it is retried.
    """
    return generation * candidate_limit(asked)


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


async def retry(
    connection: AsyncConnection, job: int, *, deadline_seconds: float, jobs_by_credits: Mapping[int, int]
) -> int:
    """Takes up an ended job again, for what is missing. Returns its generation. Raises `UsageError` if it cannot be."""
    ended = await _lock_ended(connection, job, "retried", also_unclaimed=True)
    if ended is None:
        await crawl_jobs.reopen(connection, job, "pending")
        return 1
    if not ended.requested:
        return await _claim_anew(connection, job)
    if ended.state == JobState.COMPLETED and ended.kept >= ended.requested:
        raise UsageError(f"job {job} is complete: nothing is missing (extend asks for more)")
    await _require_room(connection, ended, jobs_by_credits)
    return await _crawl_anew(connection, ended, ended.requested, deadline_seconds)


async def extend(
    connection: AsyncConnection,
    job: int,
    requested: int,
    *,
    deadline_seconds: float,
    jobs_by_credits: Mapping[int, int],
) -> int:
    """Asks an ended job for more images. Returns its generation. Raises `UsageError` if it cannot be asked."""
    ended = await _lock_ended(connection, job, "extended")
    if not ended.requested:
        raise UsageError(f"job {job} cannot be extended: it was refused ({ended.reason})")
    if requested <= ended.requested:
        raise UsageError(
            f"max_images: job {job} asks for {ended.requested:,} already, expected more, got {requested:,}"
        )
    await _require_room(connection, ended, jobs_by_credits)
    return await _crawl_anew(connection, ended, requested, deadline_seconds)


async def _require_room(connection: AsyncConnection, ended: Any, jobs_by_credits: Mapping[int, int]) -> None:
    funds = await accounts.of(connection, ended.owner)
    if not await accounts.may_start(connection, ended.owner, funds, jobs_by_credits):
        raise UsageError(f"job {ended.id} has to wait: its owner has as many jobs at work as the credits allow")


async def _lock_ended(connection: AsyncConnection, job: int, what: str, *, also_unclaimed: bool = False) -> Any:
    """The row of an ended job, locked; None, if allowed, for one that was cancelled before its claim.

    Nobody writes the front end's row meanwhile from what was true before.
    """
    await locks.take(connection, crawl_jobs.PROJECTION)
    row = await lock(connection, job)
    status = await crawl_jobs.lock(connection, job)
    if status is None:
        raise UsageError(f"there is no job {job}")
    if row is None or row.state == JobState.PENDING:
        if also_unclaimed and status == "cancelled":
            return None
        raise UsageError(f"job {job} cannot be {what}: it has not begun")
    if row.state not in TERMINAL_JOBS:
        raise UsageError(f"job {job} cannot be {what}: it is {row.state}")
    return row


async def _claim_anew(connection: AsyncConnection, job: int) -> int:
    """Lets a job that was refused wait for its claim again: its owner may have corrected it."""
    generation = await _begin_generation(connection, job, state=JobState.PENDING)
    await crawl_jobs.reopen(connection, job, "pending")
    return generation


async def _crawl_anew(connection: AsyncConnection, ended: Any, requested: int, deadline_seconds: float) -> int:
    """Without credits for what is missing, a job that failed may still export what it has."""
    changes = {"requested": requested, "deadline": func.now() + timedelta(seconds=deadline_seconds)}
    generation = await _begin_generation(connection, ended.id, state=JobState.CRAWLING, **changes)
    missing = requested - ended.charged
    paid = await hold_credits(connection, ended.id, ended.owner, missing, ended.name)
    if missing and not paid and not (ended.kept and ended.state == JobState.FAILED):
        raise UsageError(f"job {ended.id} cannot go on: its owner has no credits left")
    details = {"keywords": ended.keywords, "asked": ended.charged + paid, "generation": generation}
    await messages.log(connection, ended.owner, ended.id, "START_CRAWL_JOB", details)
    more = {"max_images": requested} if requested > ended.requested else {}
    await crawl_jobs.reopen(connection, ended.id, "running", **more)
    await crawl_jobs.project(connection, ended.id)
    return generation


async def _begin_generation(connection: AsyncConnection, job: int, **changes: object) -> int:
    """Forgets how a locked job has ended, and what was to be exported of it. Returns the new generation."""
    await exports.cancel_all(connection, job)
    forgotten = dict.fromkeys(("outcome", "reason", "finished_at", "planned_at", "swept_at", "pruned_at"))
    values = {"generation": jobs.c.generation + 1, "progress": 0, **forgotten, **changes}
    statement = update(jobs).where(jobs.c.id == job).values(values).returning(jobs.c.generation)
    generation: int = (await connection.execute(statement)).scalar_one()
    return generation
