"""What a job has found and not kept: for which reason, and for the sake of which other picture."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from pixcrawler.api.dashboard.job import about, top_of
from pixcrawler.api.dashboard.pages import page
from pixcrawler.api.dashboard.visitors import Visitor
from pixcrawler.api.paging import Cursor, by_id, paged
from pixcrawler.api.routes import Number, jobs
from pixcrawler.api.state import Api
from pixcrawler.db import candidates, copies
from pixcrawler.jobs import Reason

SHOWN = 50  # addresses a page
GROUPS = 20  # a page

routes = APIRouter(include_in_schema=False)


@routes.get("/jobs/{job}/rejected")
async def rejected(
    request: Request,
    api: Api,
    visitor: Visitor,
    job: Number,
    reason: Annotated[Reason | None, Query()] = None,
    cursor: Cursor = None,
) -> Response:
    """The addresses of one reason, the most frequent one if none is named."""
    seen = await jobs.overview_of(api, visitor, job)
    counts = {name: number for name, number in seen.funnel.reasons.items() if name in set(Reason)}
    chosen = reason or next(iter(counts), None)
    rows = []
    if chosen:
        async with api.transaction() as connection:
            rows = await candidates.rejected(connection, job, chosen, by_id(cursor), SHOWN)
    found = paged(rows, SHOWN, "seq")
    return page(
        request,
        "rejected.html",
        **about(seen.job),
        counts=counts,
        reason=chosen,
        rows=found.items,
        next_cursor=found.next_cursor,
    )


@routes.get("/jobs/{job}/duplicates")
async def duplicates(
    request: Request, api: Api, visitor: Visitor, job: Number, begin: Annotated[int, Query(ge=0, le=10**9)] = 0
) -> Response:
    """Kept pictures, each with its copies that were dropped."""
    top = await top_of(api, visitor, job)
    async with api.transaction() as connection:
        groups = await copies.groups(connection, job)
    end = begin + GROUPS
    return page(
        request,
        "duplicates.html",
        **top,
        groups=groups[begin:end],
        dropped=sum(len(group.dropped) for group in groups),
        kept=len(groups),
        next_begin=end if end < len(groups) else None,
    )
