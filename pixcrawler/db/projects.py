"""Statements on `public.projects`. What its owner has deleted is not there any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db.paging import newest_first
from pixcrawler.db.public import crawl_jobs, projects
from pixcrawler.errors import UsageError

SHOWN = projects.c["id", "name", "description", "status", "created_at", "updated_at"]


@dataclass(frozen=True, slots=True)
class Project:
    """What an owner's jobs are kept in."""

    id: int
    name: str
    description: str | None
    status: str  # active, archived
    created_at: datetime
    updated_at: datetime


def _of(owner: UUID | None) -> ColumnElement[bool]:
    alive = projects.c.status != "deleted"
    return alive if owner is None else alive & (projects.c.user_id == owner)


async def choose(connection: AsyncConnection, wanted: int | None, owner: UUID | None = None) -> int:
    """The project named, or the only one there is, of an owner or of all. Raises `UsageError`."""
    rows = await connection.scalars(select(projects.c.id).where(_of(owner)).order_by(projects.c.id))
    known: list[int] = list(rows.all())
    if wanted is not None:
        if wanted not in known:
            raise UsageError(f"project: there is no project {wanted}")
        return wanted
    if len(known) != 1:
        raise UsageError(f"project: say which, there are {len(known)}" if known else "project: there is none yet")
    return known[0]


async def page(connection: AsyncConnection, owner: UUID, after: Sequence[Any] | None, limit: int) -> list[Project]:
    """The newest projects of an owner after a place, one more than `limit` if there are."""
    statement = newest_first(select(*SHOWN).where(_of(owner)), [projects.c.id], after, limit)
    return [Project(**row._mapping) for row in await connection.execute(statement)]


async def get(connection: AsyncConnection, project: int, owner: UUID) -> Project | None:
    """One of an owner's projects."""
    row = (await connection.execute(select(*SHOWN).where(projects.c.id == project, _of(owner)))).one_or_none()
    return Project(**row._mapping) if row else None


async def create(connection: AsyncConnection, owner: UUID, name: str, description: str | None) -> Project:
    """A new active project."""
    values = {"user_id": owner, "name": name, "description": description}
    row = (await connection.execute(insert(projects).values(values).returning(*SHOWN))).one()
    return Project(**row._mapping)


async def change(connection: AsyncConnection, project: int, owner: UUID, **changes: Any) -> Project | None:
    """Changes some columns. None: the owner has no such project."""
    values = {**changes, "updated_at": func.now()}
    statement = update(projects).where(projects.c.id == project, _of(owner)).values(values).returning(*SHOWN)
    row = (await connection.execute(statement)).one_or_none()
    return Project(**row._mapping) if row else None


async def unfinished_jobs(connection: AsyncConnection, project: int) -> int:
    """How many of its jobs wait or are at work."""
    unfinished = crawl_jobs.c.status.in_(["pending", "running"])
    statement = select(func.count()).where(crawl_jobs.c.project_id == project, unfinished)
    return (await connection.execute(statement)).scalar_one()
