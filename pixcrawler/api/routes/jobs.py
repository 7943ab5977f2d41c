"""Crawl jobs: asked for, looked at, stopped, taken up again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import Header, Query
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, TypeAdapter

from pixcrawler.api.gate import Caller, Reader, Writer
from pixcrawler.api.paging import Cursor, Limit, Page, by_id, paged
from pixcrawler.api.problems import Code, Refused, in_conflict, not_found
from pixcrawler.api.routes import Number, also, router
from pixcrawler.api.routes.lists import LIST_NAME, key_of
from pixcrawler.api.state import Api, Plain, State
from pixcrawler.api.wishes import Wishes
from pixcrawler.db import crawl_jobs, idempotency, jobs, overview, projects
from pixcrawler.db.overview import Export, Job, Run
from pixcrawler.errors import UsageError
from pixcrawler.jobs import CANCELLABLE, MAX_IMAGES, MAX_KEYWORDS, ExportFormat, Extent, JobStatus, parse_max_images
from pixcrawler.likeness import DEFAULT
from pixcrawler.orders import NAME_LENGTH, Order, parse_order

JOB = TypeAdapter(Job)

routes = router("crawl-jobs", "crawl jobs")

Images = Annotated[StrictInt, Field(ge=1, le=MAX_IMAGES)]
IdempotencyKey = Annotated[
    str | None,
    Header(pattern=r"^[!-~]{1,255}$", description="The same again within a day makes no second job."),
]


class NewJob(BaseModel):
    """What is wanted."""

    model_config = ConfigDict(extra="forbid")

    keywords: list[Plain] = Field(min_length=1, max_length=MAX_KEYWORDS)
    max_images: Images
    name: Plain | None = Field(None, max_length=NAME_LENGTH)
    project: StrictInt | None = Field(None, description="Needed if there are several.")
    sources: list[Plain] | None = Field(None, max_length=50)
    filters: dict[Plain, Plain] | None = Field(None, max_length=20, examples=[{"size": "large"}])
    rights: Plain | None = Field(None, max_length=40, examples=["commercial"])
    quality: Plain | None = Field(None, max_length=40, examples=["standard"])
    duplicates: Plain | None = Field(None, max_length=40, examples=[DEFAULT], description="What is one.")
    scope: Extent | None = Field(None, description="Of whose pictures.")
    flips: StrictBool | None = Field(None, description="Mirror images are duplicates too.")
    formats: list[ExportFormat] | None = Field(None, max_length=len(ExportFormat))
    export: Wishes | None = None
    list_name: str | None = Field(None, alias="list", pattern=LIST_NAME, description="As `POST lists` has called it.")


class MoreImages(BaseModel):
    """How many images are wanted in all."""

    model_config = ConfigDict(extra="forbid")

    max_images: Images


class FunnelShown(BaseModel):
    """What became of every image found: found = kept + all reasons."""

    found: int
    kept: int
    reasons: dict[str, int]


class Details(BaseModel):
    """All there is to say about a job."""

    job: Job
    runs: list[Run]
    exports: list[Export]
    funnel: FunnelShown


class OfSource(BaseModel):
    """What the runs of one source have brought."""

    source: str
    runs: int
    asked: int
    found: int
    kept: int


class HowFar(BaseModel):
    """How far a job is."""

    job: Job
    sources: list[OfSource]
    funnel: FunnelShown


@routes.post("/", status_code=201, **also(Code.CONFLICT))
async def create(api: Api, caller: Writer, wanted: NewJob, idempotency_key: IdempotencyKey = None) -> Job:
    """Asks for a dataset."""
    order = await _order(api, caller, wanted)
    request = hashlib.sha256(json.dumps([asdict(order), wanted.project], sort_keys=True).encode()).hexdigest()
    async with api.transaction() as connection:
        if idempotency_key and (earlier := await idempotency.begin(connection, caller.user, idempotency_key, request)):
            if earlier.request != request:
                raise Refused(Code.REUSED_KEY, "this Idempotency-Key came with another job before")
            return JOB.validate_python(earlier.answer)
        project = await projects.choose(connection, wanted.project, caller.user)
        number = await crawl_jobs.create(connection, project_id=project, **asdict(order))
        job = await found(overview.job_of(connection, number, caller.user))
        if idempotency_key:
            answer = JOB.dump_python(job, mode="json")
            await idempotency.finish(connection, caller.user, idempotency_key, answer)
    return job


async def _order(api: State, caller: Caller, wanted: NewJob) -> Order:
    given = wanted.model_dump(exclude={"project", "list_name"})
    key = key_of(caller.user, wanted.list_name) if wanted.list_name else None
    if key and not await api.storage.exists(key):
        raise UsageError(f"list: there is no list {wanted.list_name!r}; POST crawl-jobs/lists takes one")
    return parse_order(api.catalogue, api.config, **given, list=key)


@routes.get("/")
async def list_(
    api: Api,
    caller: Reader,
    cursor: Cursor = None,
    limit: Limit = 20,
    status: Annotated[JobStatus | None, Query()] = None,
    project: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
) -> Page[Job]:
    """My jobs, the newest first."""
    async with api.reading() as connection:
        after = by_id(cursor)
        rows = await overview.page(connection, caller.user, after, limit, status=status, project=project)
    return paged(rows, limit)


@routes.get("/{job}", **also(Code.NOT_FOUND))
async def show(api: Api, caller: Reader, job: Number) -> Details:
    """A job, its runs and datasets, and what became of every image found."""
    seen = await overview_of(api, caller, job)
    return Details(job=seen.job, runs=list(seen.runs), exports=list(seen.exports), funnel=_funnel(seen))


@routes.get("/{job}/progress", **also(Code.NOT_FOUND))
async def progress(api: Api, caller: Reader, job: Number) -> HowFar:
    """How far a job is, and what each source has brought."""
    seen = await overview_of(api, caller, job)
    return HowFar(job=seen.job, sources=by_source(seen.runs), funnel=_funnel(seen))


@routes.post("/{job}/cancel", **also(Code.NOT_FOUND, Code.CONFLICT))
async def cancel(api: Api, caller: Writer, job: Number) -> Job:
    """Asks for a job to stop; what it has kept stays."""
    async with api.transaction() as connection:
        await require(connection, job, caller)
        before = await crawl_jobs.ask_cancel(connection, job)
        if before not in CANCELLABLE:
            raise Refused(Code.CONFLICT, f"job {job} cannot be cancelled: it is {before}")
        return await found(overview.job_of(connection, job, caller.user))


@routes.post("/{job}/retry", **also(Code.NOT_FOUND, Code.CONFLICT))
async def retry(api: Api, caller: Writer, job: Number) -> Job:
    """Takes up a job that failed, was cancelled or came short; only what is missing is done again."""
    async with api.transaction() as connection:
        await require(connection, job, caller)
        with in_conflict(UsageError):
            await jobs.retry(connection, job, **_terms(api))
        return await found(overview.job_of(connection, job, caller.user))


@routes.post("/{job}/extend", **also(Code.NOT_FOUND, Code.CONFLICT))
async def extend(api: Api, caller: Writer, job: Number, wanted: MoreImages) -> Job:
    """Asks an ended job for more images, in all; those it has stay."""
    number = parse_max_images(wanted.max_images)
    async with api.transaction() as connection:
        await require(connection, job, caller)
        with in_conflict(UsageError):
            await jobs.extend(connection, job, number, **_terms(api))
        return await found(overview.job_of(connection, job, caller.user))


async def require(connection: Any, job: int, caller: Caller) -> None:
    """Raises `Refused` unless the caller has such a job."""
    if not await overview.is_of(connection, job, caller.user):
        raise not_found()


async def overview_of(api: State, caller: Caller, job: int) -> overview.Overview:
    """All there is to say about one of the caller's jobs. Raises `Refused`."""
    async with api.transaction() as connection:
        seen = await overview.overview(connection, job, caller.user)
    if seen is None:
        raise not_found()
    return seen


async def found(question: Any) -> Job:
    """What a question for one of the caller's jobs found. Raises `Refused`."""
    job: Job | None = await question
    if job is None:
        raise not_found()
    return job


def _terms(api: State) -> dict[str, Any]:
    return {"deadline_seconds": api.config.deadline_seconds, "jobs_by_credits": api.config.jobs_by_credits}


def _funnel(seen: overview.Overview) -> FunnelShown:
    return FunnelShown(**seen.funnel.to_json())


def by_source(runs: Sequence[Run]) -> list[OfSource]:
    """The runs of each source, summed."""
    found: dict[str, OfSource] = {}
    for run in runs:
        of = found.setdefault(run.source, OfSource(source=run.source, runs=0, asked=0, found=0, kept=0))
        of.runs += 1
        of.asked += run.asked
        of.found += run.found
        of.kept += run.kept
    return list(found.values())
