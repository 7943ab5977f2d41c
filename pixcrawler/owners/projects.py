"""Projects: made, changed and put out of sight, each with a line in the owner's log."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db import messages, projects
from pixcrawler.db.projects import Project
from pixcrawler.errors import UsageError

NAME_LENGTH = 100
DESCRIPTION_LENGTH = 2000


def checked_name(name: str) -> str:
    """The name of a project or key, as it is kept. Raises `UsageError`."""
    if not name.strip() or not name.isprintable() or len(name) > NAME_LENGTH:
        raise UsageError(f"name: expected at most {NAME_LENGTH} printable characters")
    return name.strip()


def checked_description(description: str) -> str:
    """What people say of a project. Raises `UsageError`."""
    if "\0" in description or len(description) > DESCRIPTION_LENGTH:
        raise UsageError(f"description: expected at most {DESCRIPTION_LENGTH:,} characters")
    return description


async def create(connection: AsyncConnection, owner: UUID, name: str, description: str | None) -> Project:
    """A new project of somebody who has a profile."""
    project = await projects.create(connection, owner, name, description)
    await messages.log(connection, owner, project.id, "CREATE_PROJECT", {"name": name}, resource="project")
    return project


async def change(connection: AsyncConnection, project: int, owner: UUID, **changes: Any) -> Project | None:
    """Changes some of `name`, `description` and `status`. None: the owner has no such project."""
    found = await projects.change(connection, project, owner, **changes)
    if found is not None:
        await messages.log(connection, owner, project, "UPDATE_PROJECT", changes, resource="project")
    return found


async def delete(connection: AsyncConnection, project: int, owner: UUID) -> bool:
    """Takes a project, with its jobs, out of sight. False: the owner has no such project.

    Raises `UsageError` while jobs of it are unfinished.
    """
    if await projects.get(connection, project, owner) is None:
        return False
    if number := await projects.unfinished_jobs(connection, project):
        raise UsageError(f"{number} jobs of it are unfinished: cancel them first")
    await projects.change(connection, project, owner, status="deleted")
    await messages.log(connection, owner, project, "DELETE_PROJECT", {}, resource="project")
    return True
