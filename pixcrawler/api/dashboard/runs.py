"""The runs of a job, the attempts at each, and what they said."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from pixcrawler.api.dashboard.job import about, top_of
from pixcrawler.api.dashboard.pages import page
from pixcrawler.api.dashboard.visitors import Visitor
from pixcrawler.api.routes import Number, jobs, results
from pixcrawler.api.state import Api

routes = APIRouter(include_in_schema=False)


@routes.get("/jobs/{job}/runs")
async def list_(request: Request, api: Api, visitor: Visitor, job: Number) -> Response:
    """Each run, and its attempts."""
    seen = await jobs.overview_of(api, visitor, job)
    logs = {(log.run, log.attempt) for log in await results.logs(api, visitor, job)}
    tries = {run.id: [attempt for attempt in seen.attempts if attempt.run == run.id] for run in seen.runs}
    return page(request, "runs.html", **about(seen.job), runs=seen.runs, tries=tries, logs=logs)


@routes.get("/jobs/{job}/runs/{run}/{attempt}")
async def log(request: Request, api: Api, visitor: Visitor, job: Number, run: Number, attempt: Number) -> Response:
    """What an attempt said."""
    top = await top_of(api, visitor, job)
    said = bytes((await results.log(api, visitor, job, run, attempt)).body).decode()
    return page(request, "log.html", **top, run=run, attempt=attempt, log=said)
