"""Projects, which jobs are kept in."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.api.gate import Caller, Reader, Writer
from pixcrawler.api.paging import Cursor, Limit, Page, by_id, paged
from pixcrawler.api.problems import Code, Refused, in_conflict, not_found
from pixcrawler.api.routes import Number, also, router
from pixcrawler.api.state import Api, Plain
from pixcrawler.db import profiles, projects
from pixcrawler.db.projects import Project
from pixcrawler.errors import UsageError
from pixcrawler.owners import projects as owned
from pixcrawler.owners.projects import DESCRIPTION_LENGTH, NAME_LENGTH

routes = router("projects", "projects")


def _named(text: str) -> str:
    try:
        return owned.checked_name(text)
    except UsageError as error:
        raise ValueError(str(error)) from None


Name = Annotated[str, Field(min_length=1, max_length=NAME_LENGTH), AfterValidator(_named)]
Description = Annotated[Plain, Field(max_length=DESCRIPTION_LENGTH)]


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
    async with api.reading() as connection:
        rows = await projects.page(connection, caller.user, after, limit)
    return paged(rows, limit)


@routes.post("/", status_code=201, **also(Code.CONFLICT))
async def create(api: Api, caller: Writer, wanted: NewProject) -> Project:
    """A new project."""
    async with api.transaction() as connection:
        await require_profile(connection, caller)
        return await owned.create(connection, caller.user, wanted.name, wanted.description)


@routes.get("/{project}", **also(Code.NOT_FOUND))
async def show(api: Api, caller: Reader, project: Number) -> Project:
    """One of my projects."""
    async with api.reading() as connection:
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
        found = await owned.change(connection, project, caller.user, **changes)
    if found is None:
        raise not_found()
    return found


@routes.delete("/{project}", status_code=204, **also(Code.NOT_FOUND, Code.CONFLICT))
async def delete(api: Api, caller: Writer, project: Number) -> None:
    """Takes it, with its jobs, out of sight. Refused while jobs of it are unfinished."""
    async with api.transaction() as connection:
        with in_conflict(UsageError):
            found = await owned.delete(connection, project, caller.user)
    if not found:
        raise not_found()


async def require_profile(connection: AsyncConnection, caller: Caller) -> None:
    """Raises `Refused` for a user whom the front end does not know yet."""
    if await profiles.get(connection, caller.user) is None:
        raise Refused(Code.CONFLICT, "there is no profile yet; POST auth/sync-profile makes one")
