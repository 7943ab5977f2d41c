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
    project: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
) -> Response:
    """The newest first, all or those of a status or project."""
    found = await jobs.list_(api, visitor, cursor, SHOWN, status, project)
    shown = {"jobs": found.items, "next_cursor": found.next_cursor}
    return page(request, "jobs.html", **shown, status=status, project=project)
