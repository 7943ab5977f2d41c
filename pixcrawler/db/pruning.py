"""Pruning: what nobody looks at any more of jobs that ended long ago, in batches that hold up nobody.

Of the candidates the kept ones stay: they say where each image came from. Funnels, runs and fingerprints stay too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sqlalchemy import CursorResult, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pixcrawler.db.engine import transaction

BATCH = 1000  # rows; deleted in some milliseconds

OLD = """
    state IN ('completed', 'failed', 'cancelled') AND finished_at < now() - make_interval(days => :days) AND (
        EXISTS (SELECT FROM crawler.candidates WHERE job = jobs.id AND decision IS DISTINCT FROM 'kept')
        OR EXISTS (SELECT FROM crawler.attempts WHERE job = jobs.id)
    )
"""
COUNT = text(f"""
    WITH old AS (SELECT id FROM crawler.jobs WHERE {OLD})
    SELECT (SELECT count(*) FROM old) AS jobs,
        (SELECT count(*) FROM crawler.candidates c JOIN old ON c.job = old.id
            WHERE c.decision IS DISTINCT FROM 'kept') AS candidates,
        (SELECT count(*) FROM crawler.attempts a JOIN old ON a.job = old.id) AS attempts,
        (SELECT count(*) FROM crawler.outbox WHERE ended_at < now() - make_interval(days => :days)) AS messages
""")  # noqa: S608  # our own words
NEXT = text(f"SELECT id FROM crawler.jobs WHERE {OLD} ORDER BY id LIMIT 1")  # noqa: S608
# Whoever takes a job up again has its lock first, or finds it pruned.
LOCK = text(f"SELECT id FROM crawler.jobs WHERE id = :job AND {OLD} FOR UPDATE")  # noqa: S608
MARK = text("UPDATE crawler.jobs SET pruned_at = coalesce(pruned_at, now()) WHERE id = :job")
CANDIDATES = text("""
    DELETE FROM crawler.candidates WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM crawler.candidates WHERE job = :job AND decision IS DISTINCT FROM 'kept' LIMIT :batch
    ))
""")
ATTEMPTS = text("""
    DELETE FROM crawler.attempts WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM crawler.attempts WHERE job = :job LIMIT :batch
    ))
""")
MESSAGES = text("""
    DELETE FROM crawler.outbox WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM crawler.outbox WHERE ended_at < now() - make_interval(days => :days) LIMIT :batch
    ))
""")


@dataclass(frozen=True, slots=True)
class Old:
    """Rows that nobody needs, and of how many jobs."""

    jobs: int
    candidates: int
    attempts: int
    messages: int

    @property
    def rows(self) -> int:
        return self.candidates + self.attempts + self.messages


async def count(connection: AsyncConnection, days: int) -> Old:
    """What would be deleted: of jobs that ended more than `days` ago."""
    return Old(**(await connection.execute(COUNT, {"days": days})).mappings().one())


async def prune(engine: AsyncEngine, days: int, forget: Callable[[int], Awaitable[None]]) -> int:
    """Deletes it, a batch in a transaction. Returns the number of rows. May be ended and repeated at any time.

    Before a job's first batch `forget` is called with it, to delete what it has outside of the database.
    """
    deleted, forgotten = 0, None
    while (job := await _next(engine, days)) is not None:
        if job != forgotten:
            await forget(job)
            forgotten = job
        async with transaction(engine) as connection:
            if await connection.scalar(LOCK, {"job": job, "days": days}):
                deleted += await _prune_job(connection, job)
    return deleted + await _prune_messages(engine, days)


async def _next(engine: AsyncEngine, days: int) -> int | None:
    async with transaction(engine) as connection:
        job: int | None = await connection.scalar(NEXT, {"days": days})
        return job


async def _prune_job(connection: AsyncConnection, job: int) -> int:
    """Deletes a batch of a locked job."""
    await connection.execute(MARK, {"job": job})
    deleted = 0
    for statement in (CANDIDATES, ATTEMPTS):
        result = await connection.execute(statement, {"job": job, "batch": BATCH - deleted})
        deleted += _number(result)
        if deleted >= BATCH:
            break
    return deleted


async def _prune_messages(engine: AsyncEngine, days: int) -> int:
    deleted = 0
    while True:
        async with transaction(engine) as connection:
            batch = _number(await connection.execute(MESSAGES, {"days": days, "batch": BATCH}))
        deleted += batch
        if batch < BATCH:
            return deleted


def _number(result: CursorResult[object]) -> int:
    return result.rowcount
