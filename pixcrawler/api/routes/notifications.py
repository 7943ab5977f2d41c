"""What the caller was told."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, ConfigDict, StrictBool

from pixcrawler.api.gate import Reader, Writer
from pixcrawler.api.paging import Cursor, Limit, Page, by_id, paged
from pixcrawler.api.problems import Code, not_found
from pixcrawler.api.routes import Number, also, router
from pixcrawler.api.state import Api
from pixcrawler.db import notifications
from pixcrawler.db.notifications import Notification

routes = router("notifications", "notifications")


class Mark(BaseModel):
    """Whether it was read."""

    model_config = ConfigDict(extra="forbid")

    is_read: StrictBool


class Marked(BaseModel):
    """How many were unread."""

    marked: int


@routes.get("/")
async def list_(
    api: Api, caller: Reader, cursor: Cursor = None, limit: Limit = 20, unread: Annotated[bool, Query()] = False
) -> Page[Notification]:
    """My notifications, all or the unread, the newest first."""
    after = by_id(cursor)
    async with api.reading() as connection:
        rows = await notifications.page(connection, caller.user, after, limit, unread=unread)
    return paged(rows, limit)


@routes.patch("/{notification}", **also(Code.NOT_FOUND))
async def mark(api: Api, caller: Writer, notification: Number, wanted: Mark) -> Notification:
    """Marks one as read or unread."""
    async with api.transaction() as connection:
        found = await notifications.mark(connection, notification, caller.user, is_read=wanted.is_read)
    if found is None:
        raise not_found()
    return found


@routes.post("/mark-all-read")
async def mark_all(api: Api, caller: Writer) -> Marked:
    """Marks all as read."""
    async with api.transaction() as connection:
        return Marked(marked=await notifications.mark_all(connection, caller.user))
