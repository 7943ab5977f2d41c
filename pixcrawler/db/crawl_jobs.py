"""Statements on `public.crawl_jobs`: the front end's view of a job. Only the dispatcher writes existing rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import and_, func, insert, literal, or_, select, text, union_all, update
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db import accounts, locks
from pixcrawler.db.crawler import jobs
from pixcrawler.db.public import crawl_jobs, credit_accounts, projects
from pixcrawler.jobs import JOBS_AT_WORK, JobState

# What is true of a job, as its owner sees it. A percentage of 100 means that the dataset is there. What was counted
# from rows that are pruned stays.
TRUTH = """
SELECT j.id,
    CASE WHEN j.state IN ('completed', 'failed', 'cancelled') THEN j.state
        WHEN j.state = 'cancelling' THEN 'cancelled' ELSE 'running' END AS status,
    CASE j.state WHEN 'completed' THEN 100 WHEN 'exporting' THEN 99
        ELSE j.kept::bigint * 99 / greatest(j.asked, 1) END AS progress,
    CASE WHEN j.pruned_at IS NULL THEN candidates.found ELSE p.total_images END AS total_images,
    CASE WHEN j.pruned_at IS NULL THEN candidates.received ELSE p.downloaded_images END AS downloaded_images,
    j.kept AS valid_images,
    runs.total AS total_chunks, runs.completed AS completed_chunks, runs.failed AS failed_chunks,
    CASE WHEN j.state IN ('completed', 'failed', 'cancelled') THEN 0
        ELSE runs.total - runs.completed - runs.failed END AS active_chunks,
    CASE WHEN j.pruned_at IS NULL THEN coalesce(attempts.ids, '[]') ELSE p.task_ids END AS task_ids,
    CASE WHEN j.state IN ('completed', 'failed', 'cancelled') THEN j.finished_at END AS completed_at
FROM crawler.jobs j
JOIN public.crawl_jobs p ON p.id = j.id
CROSS JOIN LATERAL (
    SELECT count(*) AS found, count(*) FILTER (WHERE received) AS received FROM crawler.candidates WHERE job = j.id
) candidates
CROSS JOIN LATERAL (
    SELECT count(*) AS total, count(*) FILTER (WHERE state IN ('succeeded', 'short')) AS completed,
        count(*) FILTER (WHERE state IN ('failed', 'cancelled')) AS failed
    FROM crawler.runs WHERE job = j.id
) runs
CROSS JOIN LATERAL (
    SELECT jsonb_agg(run || '-' || attempt ORDER BY run, attempt) AS ids FROM crawler.attempts WHERE job = j.id
) attempts
"""
SEEN = (
    "status",
    "progress",
    "total_images",
    "downloaded_images",
    "valid_images",
    "total_chunks",
    "completed_chunks",
    "failed_chunks",
    "active_chunks",
    "task_ids",
    "completed_at",
)
# "cancelled" on a job at work is its owner's wish, which must outlive us until it is heeded.
PROJECT = """
UPDATE public.crawl_jobs c SET {assignments}, updated_at = now()
FROM ({truth} WHERE {which}) t
WHERE c.id = t.id AND ({differences}) AND (c.status <> 'cancelled' OR t.status <> 'running')
"""


def _projection(which: str) -> Any:
    return text(
        PROJECT.format(
            assignments=", ".join(f"{column} = t.{column}" for column in SEEN),
            differences=" OR ".join(f"c.{column} IS DISTINCT FROM t.{column}" for column in SEEN),
            truth=TRUTH,
            which=which,
        )
    )


PROJECT_ONE = _projection("j.id = :job")
PROJECT_ALL_AT_WORK = _projection("j.state IN ('crawling', 'cancelling', 'exporting')")
# Whoever is shown a job of long ago as at work waits for nothing; other changes to it are let be. Other statuses
# (archived, …) are the front end's own business.
RESTORE_ALL = _projection("j.state IN ('completed', 'failed', 'cancelled') AND p.status IN ('pending', 'running')")
RESTORE_RECENT = _projection("""
    j.state IN ('completed', 'failed', 'cancelled') AND j.finished_at > now() - interval '1 hour'
    AND (p.status <> j.state OR p.valid_images <> j.kept OR p.active_chunks <> 0)
    AND p.status IN ('completed', 'failed', 'cancelled')
""")
PROJECTION = "projection"  # the advisory lock of those who write all rows


async def create(
    connection: AsyncConnection,
    *,
    project_id: int,
    name: str,
    keywords: list[str],
    max_images: int,
    options: dict[str, Any],
) -> int:
    """A new pending job, with options that its claim will find. Returns its id."""
    row = {"project_id": project_id, "name": name, "keywords": keywords, "max_images": max_images}
    job: int = (await connection.execute(insert(crawl_jobs).values(row).returning(crawl_jobs.c.id))).scalar_one()
    if options:
        values = {"id": job, "state": JobState.PENDING, "keywords": keywords, "asked": max_images, "options": options}
        await connection.execute(insert(jobs).values(values))
    return job


async def ask_cancel(connection: AsyncConnection, job: int) -> str | None:
    """Sets the wish to cancel, as the front end does. Returns the status before; None: no such job."""
    before = await lock(connection, job)
    if before in ("pending", "running"):
        changed = {"status": "cancelled", "updated_at": func.now()}
        await connection.execute(update(crawl_jobs).where(crawl_jobs.c.id == job).values(changed))
    return before


async def pending(connection: AsyncConnection, limit: int, jobs_by_credits: Mapping[int, int]) -> list[Any]:
    """Unclaimed pending jobs that may start: id, name, keywords, max_images, project_id, owner, options.

    The oldest of each owner, as far as the limit allows; those come first whose owners have fewest before them, at
    work or waiting. Who has spent all credits waits for those that are held. Jobs without an owner have no limit, and
    queue like those of one.
    """
    waiting = (
        select(projects.c.user_id.label("owner"), crawl_jobs.c.id)
        .select_from(crawl_jobs)
        .outerjoin(projects, projects.c.id == crawl_jobs.c.project_id)
        .outerjoin(jobs, jobs.c.id == crawl_jobs.c.id)
        .where(crawl_jobs.c.status == "pending", or_(jobs.c.id.is_(None), jobs.c.state == JobState.PENDING))
    )
    at_work = select(jobs.c.owner, literal(0).label("id")).where(jobs.c.state.in_(JOBS_AT_WORK))
    line = union_all(at_work, waiting).subquery("line")  # who is at work stands before all that wait
    place = func.row_number().over(partition_by=line.c.owner, order_by=line.c.id).label("place")
    queue = select(line, place).subquery("queue")
    balance = func.coalesce(credit_accounts.c.current_balance, 0)
    held = accounts.held(queue.c.owner)
    allowed = accounts.limit(balance + held, jobs_by_credits)
    statement = (
        select(
            *crawl_jobs.c["id", "name", "keywords", "max_images", "project_id"],
            queue.c.owner,
            jobs.c.options,
        )
        .join(queue, queue.c.id == crawl_jobs.c.id)
        .outerjoin(jobs, jobs.c.id == crawl_jobs.c.id)
        .outerjoin(credit_accounts, credit_accounts.c.user_id == queue.c.owner)
        .where(or_(queue.c.owner.is_(None), and_(queue.c.place <= allowed, or_(balance > 0, held == 0))))
        .order_by(queue.c.place, crawl_jobs.c.id)
        .limit(limit)
    )
    return list((await connection.execute(statement)).all())


async def unwanted(connection: AsyncConnection) -> list[int]:
    """Jobs at work whose owner cancelled them or whose row is gone."""
    statement = (
        select(jobs.c.id)
        .outerjoin(crawl_jobs, crawl_jobs.c.id == jobs.c.id)
        .where(
            jobs.c.state.in_([JobState.CRAWLING, JobState.EXPORTING]),
            or_(crawl_jobs.c.id.is_(None), crawl_jobs.c.status == "cancelled"),
        )
        .order_by(jobs.c.id)
    )
    return list((await connection.scalars(statement)).all())


async def start(connection: AsyncConnection, job: int) -> bool:
    """Shows that work on a pending job has begun. False: it is not pending any more."""
    changed = {"status": "running", "started_at": func.now(), "updated_at": func.now()}
    statement = update(crawl_jobs).where(crawl_jobs.c.id == job, crawl_jobs.c.status == "pending").values(changed)
    return (await connection.scalar(statement.returning(crawl_jobs.c.id))) is not None


async def is_wanted(connection: AsyncConnection, job: int) -> bool:
    """Whether the job's row is there and not cancelled; it stays so until the end of the transaction."""
    return await lock(connection, job) not in (None, "cancelled")


async def lock(connection: AsyncConnection, job: int) -> str | None:
    """The status of a row, locked until the end of the transaction. None: no such row."""
    status: str | None = await connection.scalar(
        select(crawl_jobs.c.status).where(crawl_jobs.c.id == job).with_for_update()
    )
    return status


async def reopen(connection: AsyncConnection, job: int, status: str, **changes: object) -> None:
    """Shows an ended job as `status` again, whatever its owner has written there since."""
    changed = {"status": status, "progress": 0, "completed_at": None, "updated_at": func.now(), **changes}
    await connection.execute(update(crawl_jobs).where(crawl_jobs.c.id == job).values(changed))


async def project(connection: AsyncConnection, job: int) -> None:
    """Writes what is true of one job over the front end's row, if that says something else."""
    await connection.execute(PROJECT_ONE, {"job": job})


async def project_all(connection: AsyncConnection) -> None:
    """The same for all at work; nothing while another dispatcher does it, whose rows would come in another order."""
    if await locks.try_take(connection, PROJECTION):
        await connection.execute(PROJECT_ALL_AT_WORK)


async def restore(connection: AsyncConnection) -> None:
    """Makes good what was written over the status, the images or the work of jobs that have ended lately."""
    if await locks.try_take(connection, PROJECTION):
        await connection.execute(RESTORE_ALL)
        await connection.execute(RESTORE_RECENT)
