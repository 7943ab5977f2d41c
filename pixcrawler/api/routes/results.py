"""What a job tells while it runs, and what it has brought: events, pictures, logs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Header, Query, Response
from fastapi.responses import PlainTextResponse, StreamingResponse
from pydantic import BaseModel

from pixcrawler.api.events import say
from pixcrawler.api.gate import Reader
from pixcrawler.api.paging import Cursor, Limit, Page, by_id, paged
from pixcrawler.api.problems import Code, described, not_found
from pixcrawler.api.routes import Number, also, router
from pixcrawler.api.routes.jobs import require
from pixcrawler.api.state import Api, Plain
from pixcrawler.db import images, overview
from pixcrawler.db.images import Image
from pixcrawler.storage import run_logs

routes = router("crawl-jobs/{job}", "results")

Wanted = Annotated[Plain | None, Query(max_length=200)]


class Log(BaseModel):
    """Of what an attempt at a run said."""

    run: int
    attempt: int


@routes.get(
    "/events",
    response_class=StreamingResponse,
    responses={
        200: {"description": "`progress` until `ended`", "content": {"text/event-stream": {}}},
        204: {"description": "the job has ended, and the caller knows"},
        **described(Code.NOT_FOUND),
    },
)
async def events(
    api: Api, caller: Reader, job: Number, last_event_id: Annotated[str | None, Header(max_length=100)] = None
) -> Response:
    """How far the job is, whenever that changes, as server-sent events. `Last-Event-ID` goes on where one has left."""
    async with api.reading() as connection:
        await require(connection, job, caller)
        seen = (await overview.progress(connection, [job])).get(job)
    if seen is None:
        raise not_found()
    if seen.over and last_event_id == say(seen).id:
        return Response(status_code=204)
    stream: AsyncIterator[bytes] = api.events.open(seen, caller, last_event_id)
    headers = {"X-Accel-Buffering": "no"}  # or nginx would keep them to itself
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


@routes.get("/images", **also(Code.NOT_FOUND))
async def kept(
    api: Api,
    caller: Reader,
    job: Number,
    cursor: Cursor = None,
    limit: Limit = 20,
    source: Wanted = None,
    keyword: Wanted = None,
    license_id: Wanted = None,
    format: Wanted = None,  # noqa: A002 the column's name
) -> Page[Image]:
    """The pictures it has kept, the newest first, each with where it is from and whose it is."""
    after = by_id(cursor)
    chosen = {"source": source, "keyword": keyword, "license_id": license_id, "format": format}
    async with api.reading() as connection:
        await require(connection, job, caller)
        rows = await images.page(connection, job, after, limit, **chosen)
    return paged(rows, limit)


@routes.get("/logs", **also(Code.NOT_FOUND))
async def logs(api: Api, caller: Reader, job: Number) -> list[Log]:
    """Whose logs are kept: those of attempts at its runs that have ended."""
    async with api.reading() as connection:
        await require(connection, job, caller)
    return [Log(run=run, attempt=attempt) for run, attempt in await run_logs.attempts(api.storage, job)]


@routes.get("/logs/{run}/{attempt}", response_class=PlainTextResponse, **also(Code.NOT_FOUND))
async def log(api: Api, caller: Reader, job: Number, run: Number, attempt: Number) -> Response:
    """What an attempt said."""
    async with api.reading() as connection:
        await require(connection, job, caller)
    if (run, attempt) not in await run_logs.attempts(api.storage, job):
        raise not_found()
    return PlainTextResponse((await run_logs.read_one(api.storage, job, run, attempt)).log)
