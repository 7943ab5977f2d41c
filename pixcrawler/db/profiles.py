"""Statements on `public.profiles`: who users are."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, literal, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db import auth
from pixcrawler.db.public import profiles
from pixcrawler.db.schema import LOCAL_USER

SHOWN = profiles.c["id", "email", "full_name", "avatar_url", "role", "onboarding_completed"]
CREATOR = text("SELECT obj_description(to_regnamespace('auth'), 'pg_namespace')")


@dataclass(frozen=True, slots=True)
class Profile:
    """A user, as the front end knows them."""

    id: UUID
    email: str
    full_name: str | None
    avatar_url: str | None
    role: str  # user, admin
    onboarding_completed: bool


async def get(connection: AsyncConnection, user: UUID) -> Profile | None:
    """One user's profile."""
    row = (await connection.execute(select(*SHOWN).where(profiles.c.id == user))).one_or_none()
    return Profile(**row._mapping) if row else None


async def local_user(connection: AsyncConnection) -> UUID | None:
    """Whom a database belongs to that we created; None of one that others did."""
    return LOCAL_USER if await connection.scalar(CREATOR) == auth.CREATED_BY_US else None


async def put(
    connection: AsyncConnection, user: UUID, *, email: str, full_name: str | None, avatar_url: str | None
) -> Profile:
    """Adds a profile, or brings its address up to date; what its owner has written there stays."""
    new = insert(profiles).values(id=user, email=email, full_name=full_name, avatar_url=avatar_url)
    changed = {
        "email": new.excluded.email,
        "full_name": func.coalesce(profiles.c.full_name, new.excluded.full_name),
        "avatar_url": func.coalesce(profiles.c.avatar_url, new.excluded.avatar_url),
        "updated_at": func.now(),
    }
    statement = new.on_conflict_do_update(index_elements=["id"], set_=changed).returning(*SHOWN)
    return Profile(**(await connection.execute(statement)).one()._mapping)


async def has_address(connection: AsyncConnection, email: str, user: UUID) -> bool:
    """Whether another user's profile has this address."""
    other = select(literal(1)).where(profiles.c.email == email, profiles.c.id != user)
    return await connection.scalar(other) is not None


async def find(connection: AsyncConnection, email: str) -> UUID | None:
    """The user with this address."""
    found: UUID | None = await connection.scalar(select(profiles.c.id).where(profiles.c.email == email))
    return found
