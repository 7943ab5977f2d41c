"""Statements on `public.notifications`, as their owner reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import case, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db.paging import newest_first
from pixcrawler.db.public import notifications

SHOWN = (
    *notifications.c["id", "type", "category", "title", "message", "action_url", "action_label"],
    *notifications.c["is_read", "read_at", "created_at"],
    notifications.c.metadata["crawl_job_id"].label("crawl_job_id"),
)


@dataclass(frozen=True, slots=True)
class Notification:
    """Something an owner was told."""

    id: int
    type: str  # success, info, warning, error
    category: str | None
    title: str
    message: str
    action_url: str | None
    action_label: str | None
    crawl_job_id: int | None
    is_read: bool
    read_at: datetime | None
    created_at: datetime


async def page(
    connection: AsyncConnection, owner: UUID, after: Sequence[Any] | None, limit: int, *, unread: bool = False
) -> list[Notification]:
    """The newest after a place, all or the unread, one more than `limit` if there are."""
    statement = select(*SHOWN).where(notifications.c.user_id == owner)
    if unread:
        statement = statement.where(~notifications.c.is_read)
    rows = await connection.execute(newest_first(statement, [notifications.c.id], after, limit))
    return [_told(row) for row in rows]


def _told(row: Any) -> Notification:
    facts = dict(row._mapping)
    job = facts.pop("crawl_job_id")  # owners write there what they like
    return Notification(**facts, crawl_job_id=job if type(job) is int else None)


async def mark(connection: AsyncConnection, number: int, owner: UUID, *, is_read: bool) -> Notification | None:
    """Marks one as read or unread. None: the owner has no such notification."""
    mine = (notifications.c.id == number) & (notifications.c.user_id == owner)
    first_read = case((notifications.c.is_read, notifications.c.read_at), else_=func.now())
    values = {"is_read": is_read, "read_at": first_read if is_read else None}
    row = (await connection.execute(update(notifications).where(mine).values(values).returning(*SHOWN))).one_or_none()
    return _told(row) if row else None


async def mark_all(connection: AsyncConnection, owner: UUID) -> int:
    """Marks all as read. Returns how many were not."""
    unread = (notifications.c.user_id == owner) & ~notifications.c.is_read
    result = await connection.execute(update(notifications).where(unread).values(is_read=True, read_at=func.now()))
    return result.rowcount
