"""What people ask about jobs: read-only, each answer one snapshot of the database."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter, ColumnElement, Float, Select, bindparam, case, cast, func, or_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db.crawler import attempts, candidates, exports, jobs, runs
from pixcrawler.db.paging import newest_first
from pixcrawler.db.public import crawl_jobs, projects
from pixcrawler.jobs import ACTIVE_ATTEMPTS, TERMINAL_JOBS, Funnel, JobState

UNCLAIMED = or_(jobs.c.state.is_(None), jobs.c.state == JobState.PENDING)


# Made once: it is in most of what is asked, and long.
JOBS = select(
    *crawl_jobs.c["id", "project_id", "name", "keywords", "status", "progress"],
    case((UNCLAIMED, crawl_jobs.c.status), else_=jobs.c.state).label("state"),
    case((UNCLAIMED, crawl_jobs.c.max_images), else_=jobs.c.requested).label("asked"),
    func.coalesce(jobs.c.kept, 0).label("kept"),
    *jobs.c["outcome", "reason"],
    crawl_jobs.c.created_at,
    *jobs.c["finished_at", "trace"],
).outerjoin_from(crawl_jobs, jobs, jobs.c.id == crawl_jobs.c.id)


@dataclass(frozen=True, slots=True)
class Job:
    """A job as its owner sees it, and as far as the crawl has come."""

    id: int
    project_id: int
    name: str
    keywords: Any  # a list of texts, or whatever the front end wrote before the job was claimed
    status: str  # of public.crawl_jobs
    state: str  # of crawler.jobs once claimed, else the status
    progress: int  # percent
    asked: int
    kept: int
    outcome: str | None  # full, short, failed, cancelled
    reason: str | None
    created_at: datetime
    finished_at: datetime | None
    trace: str | None  # None: not claimed yet

    @property
    def over(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.state in TERMINAL_JOBS

    @property
    def full(self) -> bool:
        """Whether it brought all that was asked for."""
        return self.state == JobState.COMPLETED and self.outcome == "full"


@dataclass(frozen=True, slots=True)
class Run:
    """One source and some of the job's keywords."""

    id: int
    generation: int
    source: str
    keywords: Sequence[str]
    state: str
    asked: int
    found: int
    kept: int
    outcome: str | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One process that worked, or should have, on a run."""

    run: int
    attempt: int
    node: str
    state: str
    decided: int
    started_at: datetime | None
    ended_at: datetime | None
    log: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class AtWork:
    """An attempt that has not ended."""

    job: int
    name: str  # of the job
    run: int
    attempt: int
    source: str
    node: str
    state: str
    decided: int
    started_at: datetime | None
    heartbeat_seconds: float | None  # since its last sign of life
    lease_seconds: float  # that are left; negative: its lease is over, and another attempt follows


@dataclass(frozen=True, slots=True)
class Export:
    """A dataset, wanted or made."""

    id: int
    version: int
    format: str
    tier: str
    options: Mapping[str, Any]
    state: str
    progress: int  # percent
    pictures: int | None
    key: str | None  # of the file, or of the folder of several
    size: int | None  # bytes
    sha256: str | None
    files: Sequence[Mapping[str, Any]] | None  # of several
    reason: str | None


@dataclass(frozen=True, slots=True)
class Overview:
    """All there is to say about one job."""

    job: Job
    runs: Sequence[Run]
    attempts: Sequence[Attempt]
    exports: Sequence[Export]
    funnel: Funnel


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is, as its row in `public` says: cheap to ask for, and told once a second."""

    id: int
    status: str
    state: str
    progress: int  # percent
    asked: int
    kept: int
    total_images: int
    downloaded_images: int
    valid_images: int
    total_chunks: int
    active_chunks: int
    completed_chunks: int
    failed_chunks: int
    outcome: str | None
    reason: str | None

    @property
    def over(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.state in TERMINAL_JOBS


async def all_jobs(connection: AsyncConnection, *, status: str | None = None, project: int | None = None) -> list[Job]:
    """Every job, or those of a status or project, the newest first."""
    rows = await connection.execute(_narrowed(JOBS, status, project).order_by(crawl_jobs.c.id.desc()))
    return [Job(**row._mapping) for row in rows]


async def newest_jobs(connection: AsyncConnection, limit: int, status: str | None = None) -> list[Job]:
    """The newest jobs, all or those of a status (as their owners see it, or as we do)."""
    statement = JOBS.order_by(crawl_jobs.c.id.desc()).limit(limit)
    if status is not None:
        statement = statement.where(or_(crawl_jobs.c.status == status, jobs.c.state == status))
    return [Job(**row._mapping) for row in await connection.execute(statement)]


async def page(
    connection: AsyncConnection,
    owner: UUID,
    after: Sequence[Any] | None,
    limit: int,
    *,
    status: str | None = None,
    project: int | None = None,
) -> list[Job]:
    """The newest jobs of an owner after a place, one more than `limit` if there are."""
    statement = _narrowed(JOBS.where(of(owner)), status, project)
    rows = await connection.execute(newest_first(statement, [crawl_jobs.c.id], after, limit))
    return [Job(**row._mapping) for row in rows]


def of(owner: UUID | BindParameter[UUID]) -> ColumnElement[bool]:
    """Whether a row of `crawl_jobs` is in a project that an owner has, and has not deleted."""
    theirs = select(projects.c.id).where(projects.c.user_id == owner, projects.c.status != "deleted")
    return crawl_jobs.c.project_id.in_(theirs)


async def job_of(connection: AsyncConnection, job: int, owner: UUID) -> Job | None:
    """One of an owner's jobs."""
    row = (await connection.execute(JOBS.where(crawl_jobs.c.id == job, of(owner)))).one_or_none()
    return Job(**row._mapping) if row else None


async def is_of(connection: AsyncConnection, job: int, owner: UUID) -> bool:
    """Whether an owner has such a job."""
    return await connection.scalar(IS_OF, {"job": job, "owner": owner}) is not None


IS_OF = select(crawl_jobs.c.id).where(crawl_jobs.c.id == bindparam("job"), of(bindparam("owner")))


async def exports_of(connection: AsyncConnection, job: int) -> list[Export]:
    """The dataset files of a job, the oldest first."""
    return await _exports(connection, job)


async def at_work(connection: AsyncConnection, owner: UUID) -> list[AtWork]:
    """The attempts at an owner's jobs that have not ended, the oldest first."""
    statement = (
        select(
            *attempts.c["job", "run", "attempt", "node", "state", "decided", "started_at"],
            *(crawl_jobs.c.name, runs.c.source),
            cast(func.extract("epoch", func.now() - attempts.c.heartbeat_at), Float).label("heartbeat_seconds"),
            cast(func.extract("epoch", attempts.c.lease_until - func.now()), Float).label("lease_seconds"),
        )
        .join(runs, runs.c.id == attempts.c.run)
        .join(crawl_jobs, crawl_jobs.c.id == attempts.c.job)
        .where(attempts.c.state.in_(ACTIVE_ATTEMPTS), of(owner))
        .order_by(attempts.c.run)
    )
    return [AtWork(**row._mapping) for row in await connection.execute(statement)]


async def progress(connection: AsyncConnection, ids: Collection[int]) -> dict[int, Progress]:
    """How far these jobs are, as many as there still are."""
    counted = (
        *("total_images", "downloaded_images", "valid_images"),
        *("total_chunks", "active_chunks", "completed_chunks", "failed_chunks"),
    )
    wanted = ("id", "status", "state", "progress", "asked", "kept", "outcome", "reason")
    seen = JOBS.add_columns(*crawl_jobs.c[counted]).where(crawl_jobs.c.id.in_(ids)).subquery()
    rows = await connection.execute(select(*seen.c[(*wanted, *counted)]))
    return {row.id: Progress(**row._mapping) for row in rows}


async def overview(connection: AsyncConnection, job: int, owner: UUID | None = None) -> Overview | None:
    """Everything about one job. None: there is no such job (of this owner).

    Must be the first question of its transaction.
    """
    await connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
    mine = JOBS.where(crawl_jobs.c.id == job)
    row = (await connection.execute(mine if owner is None else mine.where(of(owner)))).one_or_none()
    if row is None:
        return None
    counts, known = await _decisions(connection, job), await _runs(connection, job)
    # Of a run that has ended the final one, which outlives its candidates, else how far it has come.
    funnels = counts | {run.id: Funnel.from_json(run.funnel) for run in known if run.funnel is not None}
    return Overview(
        Job(**row._mapping),
        [_run(run, funnels.get(run.id, Funnel({}))) for run in known],
        await _attempts(connection, job),
        await _exports(connection, job),
        Funnel.total(funnels.values()),
    )


async def job_exists(connection: AsyncConnection, job: int) -> bool:
    """Whether the front end has such a job."""
    return await connection.scalar(select(crawl_jobs.c.id).where(crawl_jobs.c.id == job)) is not None


async def project_ids(connection: AsyncConnection) -> list[int]:
    """All projects, the oldest first."""
    return list((await connection.scalars(select(projects.c.id).order_by(projects.c.id))).all())


def _narrowed(statement: Select[Any], status: str | None, project: int | None) -> Select[Any]:
    if status is not None:
        statement = statement.where(crawl_jobs.c.status == status)
    return statement if project is None else statement.where(crawl_jobs.c.project_id == project)


async def _decisions(connection: AsyncConnection, job: int) -> dict[int, Funnel]:
    of_run: dict[int, list[tuple[str | None, int]]] = {}
    statement = select(candidates.c.run, candidates.c.decision, func.count()).where(candidates.c.job == job)
    grouped = statement.group_by(candidates.c.run, candidates.c.decision)
    for run, decision, number in await connection.execute(grouped):
        of_run.setdefault(run, []).append((decision, number))
    return {run: Funnel.of(counts) for run, counts in of_run.items()}


async def _runs(connection: AsyncConnection, job: int) -> Sequence[Any]:
    wanted = runs.c["id", "generation", "source", "slices", "state", "outcome", "funnel"]
    return (await connection.execute(select(*wanted).where(runs.c.job == job).order_by(runs.c.id))).all()


def _run(run: Any, funnel: Funnel) -> Run:
    asked = sum(part["quota"] or 0 for part in run.slices.values())
    about = {name: getattr(run, name) for name in ("id", "generation", "source", "state", "outcome")}
    return Run(**about, keywords=list(run.slices), asked=asked, found=funnel.found, kept=funnel.kept)


async def _attempts(connection: AsyncConnection, job: int) -> list[Attempt]:
    wanted = attempts.c["run", "attempt", "node", "state", "decided", "started_at", "ended_at", "log", "reason"]
    statement = select(*wanted).where(attempts.c.job == job).order_by(attempts.c.run, attempts.c.attempt)
    return [Attempt(**row._mapping) for row in await connection.execute(statement)]


async def _exports(connection: AsyncConnection, job: int) -> list[Export]:
    statement = select(exports).where(exports.c.job == job).order_by(exports.c.version)
    return [told(row) for row in await connection.execute(statement)]


def told(export: Any) -> Export:
    """What is told of a row of `crawler.exports`."""
    return Export(*(getattr(export, field.name) for field in fields(Export)))
