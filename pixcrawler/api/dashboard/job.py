"""One job: how far it is, what became of every image found, and what can be done with it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from pixcrawler.api.dashboard.pages import back_to, page
from pixcrawler.api.dashboard.visitors import Editor, Fields, Visitor
from pixcrawler.api.gate import Caller
from pixcrawler.api.routes import Number, jobs, results
from pixcrawler.api.state import Api, State
from pixcrawler.db import overview
from pixcrawler.errors import UsageError
from pixcrawler.jobs import CANCELLABLE, MAX_IMAGES

NEWEST = 12  # pictures on the first page

routes = APIRouter(include_in_schema=False)


@routes.get("/jobs/{job}")
async def show(request: Request, api: Api, visitor: Visitor, job: Number) -> Response:
    """How far it is."""
    seen = await jobs.overview_of(api, visitor, job)
    newest = (await results.kept(api, visitor, job, limit=NEWEST)).items
    sources = jobs.by_source(seen.runs)
    return page(
        request, "job.html", **about(seen.job), runs=seen.runs, funnel=seen.funnel, sources=sources, newest=newest
    )


def about(job: overview.Job) -> dict[str, Any]:
    """What every page of a job tells at its top."""
    return {
        "job": job,
        "can_cancel": not job.over and job.status in CANCELLABLE[:2],
        "can_retry": job.over and not job.full,
        "can_extend": job.over and job.asked < MAX_IMAGES,
        "most_images": MAX_IMAGES,
        "keywords": job.keywords if isinstance(job.keywords, list) else [],
    }


async def top_of(api: State, caller: Caller, job: int) -> dict[str, Any]:
    """The same, for pages that ask for nothing else about the job. Raises `Refused`."""
    async with api.transaction() as connection:
        return about(await jobs.found(overview.job_of(connection, job, caller.user)))


@routes.get("/jobs/{job}/events")
async def events(request: Request, api: Api, visitor: Visitor, job: Number) -> Response:
    """The API's events, for browsers, which send cookies and nothing else."""
    return await results.events(api, visitor, job, request.headers.get("last-event-id"))


@routes.post("/jobs/{job}/cancel")
async def cancel(api: Api, editor: Editor, job: Number) -> Response:
    """Stops it."""
    await jobs.cancel(api, editor, job)
    return back_to(f"/jobs/{job}")


@routes.post("/jobs/{job}/retry")
async def retry(api: Api, editor: Editor, job: Number) -> Response:
    """Takes it up again."""
    await jobs.retry(api, editor, job)
    return back_to(f"/jobs/{job}")


@routes.post("/jobs/{job}/extend")
async def extend(api: Api, editor: Editor, job: Number, said: Fields) -> Response:
    """Asks for more images."""
    wanted = str(said.get("max_images", "")).strip()
    if not wanted.isdecimal() or not 1 <= int(wanted) <= MAX_IMAGES:
        raise UsageError(f"max_images: expected a number from 1 to {MAX_IMAGES:,}, got {wanted[:40]!r}")
    await jobs.extend(api, editor, job, jobs.MoreImages(max_images=int(wanted)))
    return back_to(f"/jobs/{job}")
