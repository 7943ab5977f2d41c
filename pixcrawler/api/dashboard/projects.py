"""Projects: what jobs are kept in."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from starlette.datastructures import FormData

from pixcrawler.api.dashboard.pages import back_to, page
from pixcrawler.api.dashboard.visitors import Editor, Fields, Visitor
from pixcrawler.api.gate import Caller
from pixcrawler.api.paging import Cursor
from pixcrawler.api.routes import Number, jobs, projects
from pixcrawler.api.routes.projects import Changes, NewProject
from pixcrawler.api.state import Api, State
from pixcrawler.errors import UsageError
from pixcrawler.owners.projects import checked_description, checked_name

SHOWN = 30  # a page

routes = APIRouter(include_in_schema=False)


@routes.get("/projects")
async def list_(request: Request, api: Api, visitor: Visitor, cursor: Cursor = None) -> Response:
    """The newest first, and the form for another."""
    return await _list(request, api, visitor, cursor)


async def _list(
    request: Request, api: State, visitor: Caller, cursor: str | None, said: FormData | None = None, wrong: str = ""
) -> Response:
    found = await projects.list_(api, visitor, cursor, SHOWN)
    about = {"projects": found.items, "next_cursor": found.next_cursor}
    return page(request, "projects.html", 422 if wrong else 200, **about, said=said or FormData(), wrong=wrong)


@routes.post("/projects")
async def create(request: Request, api: Api, editor: Editor, said: Fields) -> Response:
    """Another one."""
    try:
        name, description = _about(said)
    except UsageError as error:
        return await _list(request, api, editor, None, said, str(error))
    made = await projects.create(api, editor, NewProject(name=name, description=description))
    return back_to(f"/projects/{made.id}")


def _about(said: FormData) -> tuple[str, str | None]:
    description = checked_description(str(said.get("description", "")).strip())
    return checked_name(str(said.get("name", ""))), description or None


@routes.get("/projects/{project}")
async def show(request: Request, api: Api, visitor: Visitor, project: Number, cursor: Cursor = None) -> Response:
    """One, with its jobs."""
    return await _show(request, api, visitor, project, cursor)


async def _show(
    request: Request, api: State, visitor: Caller, project: int, cursor: str | None = None, wrong: str = ""
) -> Response:
    about = await projects.show(api, visitor, project)
    found = await jobs.list_(api, visitor, cursor, SHOWN, project=project)
    shown = {"jobs": found.items, "next_cursor": found.next_cursor, "wrong": wrong}
    return page(request, "project.html", 422 if wrong else 200, project=about, **shown)


@routes.post("/projects/{project}")
async def change(request: Request, api: Api, editor: Editor, project: Number, said: Fields) -> Response:
    """Another name, another description."""
    try:
        name, description = _about(said)
    except UsageError as error:
        return await _show(request, api, editor, project, wrong=str(error))
    await projects.change(api, editor, project, Changes(name=name, description=description))
    return back_to(f"/projects/{project}")


@routes.post("/projects/{project}/archive")
async def archive(api: Api, editor: Editor, project: Number) -> Response:
    """Into the archive."""
    await projects.change(api, editor, project, Changes(status="archived"))
    return back_to(f"/projects/{project}")


@routes.post("/projects/{project}/restore")
async def restore(api: Api, editor: Editor, project: Number) -> Response:
    """Out of the archive."""
    await projects.change(api, editor, project, Changes(status="active"))
    return back_to(f"/projects/{project}")


@routes.post("/projects/{project}/delete")
async def delete(api: Api, editor: Editor, project: Number) -> Response:
    """Out of sight, with its jobs."""
    await projects.delete(api, editor, project)
    return back_to("/projects")
