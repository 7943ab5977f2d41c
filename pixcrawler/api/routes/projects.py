"""Projects, which jobs are kept in."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from pixcrawler.api.gate import Reader, Writer
from pixcrawler.api.paging import Cursor, Limit, Page, by_id, paged
from pixcrawler.api.problems import Code, Refused, not_found
from pixcrawler.api.routes import Number, also, router
from pixcrawler.api.state import Api, Plain
from pixcrawler.db import messages, profiles, projects
from pixcrawler.db.projects import Project

routes = router("projects", "projects")


def _named(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("expected printable characters")
    return text.strip()


Name = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_named)]
Description = Annotated[Plain, Field(max_length=2000)]


class NewProject(BaseModel):
    """A project to be."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    description: Description | None = None


class Changes(BaseModel):
    """What is to be different; what is not given stays."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    description: Description | None = None
    status: Literal["active", "archived"] | None = None


@routes.get("/")
async def list_(api: Api, caller: Reader, cursor: Cursor = None, limit: Limit = 20) -> Page[Project]:
    """My projects, the newest first."""
    after = by_id(cursor)
    async with api.transaction() as connection:
        rows = await projects.page(connection, caller.user, after, limit)
    return paged(rows, limit)


@routes.post("/", status_code=201, **also(Code.CONFLICT))
async def create(api: Api, caller: Writer, wanted: NewProject) -> Project:
    """A new project."""
    async with api.transaction() as connection:
        if await profiles.get(connection, caller.user) is None:
            raise Refused(Code.CONFLICT, "there is no profile yet; POST auth/sync-profile makes one")
        project = await projects.create(connection, caller.user, wanted.name, wanted.description)
        details = {"name": project.name}
        await messages.log(connection, caller.user, project.id, "CREATE_PROJECT", details, resource="project")
    return project


@routes.get("/{project}", **also(Code.NOT_FOUND))
async def show(api: Api, caller: Reader, project: Number) -> Project:
    """One of my projects."""
    async with api.transaction() as connection:
        found = await projects.get(connection, project, caller.user)
    if found is None:
        raise not_found()
    return found


@routes.patch("/{project}", **also(Code.NOT_FOUND))
async def change(api: Api, caller: Writer, project: Number, wanted: Changes) -> Project:
    """Renames, describes, archives or takes it out of the archive."""
    changes = {
        name: value
        for name, value in wanted.model_dump(exclude_unset=True).items()
        if value is not None or name == "description"
    }
    async with api.transaction() as connection:
        found = await projects.change(connection, project, caller.user, **changes)
        if found is None:
            raise not_found()
        await messages.log(connection, caller.user, project, "UPDATE_PROJECT", changes, resource="project")
    return found


@routes.delete("/{project}", status_code=204, **also(Code.NOT_FOUND, Code.CONFLICT))
async def delete(api: Api, caller: Writer, project: Number) -> None:
    """Takes it, with its jobs, out of sight. Refused while jobs of it are unfinished."""
    async with api.transaction() as connection:
        if await projects.get(connection, project, caller.user) is None:
            raise not_found()
        if number := await projects.unfinished_jobs(connection, project):
            raise Refused(Code.CONFLICT, f"{number} jobs of it are unfinished: cancel them first")
        await projects.change(connection, project, caller.user, status="deleted")
        await messages.log(connection, caller.user, project, "DELETE_PROJECT", {}, resource="project")
