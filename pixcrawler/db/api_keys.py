"""Statements on `public.api_keys`. Of a key only its SHA-256 is here; see `pixcrawler.owners.keys`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, case, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db.paging import newest_first
from pixcrawler.db.public import api_keys

USABLE = (api_keys.c.status == "active") & or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > func.now())
STATUS = case((USABLE, "active"), (api_keys.c.status == "active", "expired"), else_=api_keys.c.status).label("status")
SHOWN = (
    *api_keys.c["id", "name", "key_prefix"],
    STATUS,
    *api_keys.c["permissions", "rate_limit", "usage_count", "last_used_at", "expires_at", "created_at"],
)
# Asked with every request, and so made once.
FIND = select(*api_keys.c["user_id", "key_hash", "permissions", "rate_limit"]).where(
    api_keys.c.id == bindparam("key"), USABLE
)
SELDOM = timedelta(minutes=1)  # between two writes of when a key was used


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key, without what would open anything."""

    id: UUID
    name: str
    key_prefix: str
    status: str  # active, revoked, expired
    permissions: Any  # a list of texts, or whatever the front end wrote
    rate_limit: int  # requests a minute
    usage_count: int
    last_used_at: datetime | None
    expires_at: datetime | None
    created_at: datetime


async def create(
    connection: AsyncConnection,
    *,
    key: UUID,
    owner: UUID,
    name: str,
    digest: str,
    prefix: str,
    permissions: Sequence[str],
    rate_limit: int,
    expires_at: datetime | None,
) -> ApiKey:
    """A new active key."""
    row = {
        "id": key,
        "user_id": owner,
        "name": name,
        "key_hash": digest,
        "key_prefix": prefix,
        "permissions": list(permissions),
        "rate_limit": rate_limit,
        "expires_at": expires_at,
    }
    return ApiKey(**(await connection.execute(insert(api_keys).values(row).returning(*SHOWN))).one()._mapping)


async def find(connection: AsyncConnection, key: UUID) -> Any:
    """A key that opens something (user_id, key_hash, permissions, rate_limit). None: there is none of this id."""
    return (await connection.execute(FIND, {"key": key})).one_or_none()


async def usable(connection: AsyncConnection, keys: Collection[UUID]) -> set[UUID]:
    """Those of these keys that still open something."""
    if not keys:
        return set()
    return set((await connection.scalars(select(api_keys.c.id).where(api_keys.c.id.in_(keys), USABLE))).all())


async def page(connection: AsyncConnection, owner: UUID, after: Sequence[Any] | None, limit: int) -> list[ApiKey]:
    """The newest keys of an owner after a place, one more than `limit` if there are."""
    mine = select(*SHOWN).where(api_keys.c.user_id == owner)
    rows = await connection.execute(newest_first(mine, [api_keys.c.created_at, api_keys.c.id], after, limit))
    return [ApiKey(**row._mapping) for row in rows]


async def revoke(connection: AsyncConnection, key: UUID, owner: UUID) -> bool:
    """Ends a key for good. False: the owner has none of this id."""
    mine = (api_keys.c.id == key) & (api_keys.c.user_id == owner)
    statement = update(api_keys).where(mine).values(status="revoked", updated_at=func.now()).returning(api_keys.c.id)
    return await connection.scalar(statement) is not None


async def used(connection: AsyncConnection, key: UUID, times: int, address: str) -> None:
    """Counts uses; when and whence is written at most once a minute, however many processes count."""
    lately = api_keys.c.last_used_at > func.now() - SELDOM
    values = {
        "usage_count": api_keys.c.usage_count + times,
        "last_used_at": case((lately, api_keys.c.last_used_at), else_=func.now()),
        "last_used_ip": case((lately, api_keys.c.last_used_ip), else_=address),
    }
    await connection.execute(update(api_keys).where(api_keys.c.id == key).values(values))
