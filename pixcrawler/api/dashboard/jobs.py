"""All jobs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from pixcrawler.api.dashboard.pages import page
from pixcrawler.api.dashboard.visitors import Visitor
from pixcrawler.api.paging import Cursor
from pixcrawler.api.routes import jobs
from pixcrawler.api.state import Api
from pixcrawler.jobs import JobStatus

SHOWN = 30  # a page

routes = APIRouter(include_in_schema=False)


@routes.get("/")
async def list_(
    request: Request,
    api: Api,
    visitor: Visitor,
    cursor: Cursor = None,
    status: Annotated[JobStatus | None, Query()] = None,
) -> Response:
    """The newest jobs first."""
    found = await jobs.list_(api, visitor, cursor, SHOWN, status)
    return page(request, "jobs.html", jobs=found.items, next_cursor=found.next_cursor, status=status)
