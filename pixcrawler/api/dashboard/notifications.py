"""What the visitor was told."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from pixcrawler.api.dashboard.pages import back_to, page
from pixcrawler.api.dashboard.visitors import Editor, Fields, Visitor
from pixcrawler.api.paging import Cursor
from pixcrawler.api.routes import Number, notifications
from pixcrawler.api.routes.notifications import Mark
from pixcrawler.api.state import Api

SHOWN = 30  # a page
TONES = {"success": "good", "info": "quiet", "warning": "warn", "error": "bad"}

routes = APIRouter(include_in_schema=False)


@routes.get("/notifications")
async def list_(request: Request, api: Api, visitor: Visitor, cursor: Cursor = None, unread: bool = False) -> Response:
    """All or the unread, the newest first."""
    found = await notifications.list_(api, visitor, cursor, SHOWN, unread)
    shown = {"notifications": found.items, "next_cursor": found.next_cursor, "unread": unread, "tones": TONES}
    return page(request, "notifications.html", **shown)


@routes.post("/notifications/read-all")
async def mark_all(api: Api, editor: Editor) -> Response:
    """All are read."""
    await notifications.mark_all(api, editor)
    return back_to("/notifications")


@routes.post("/notifications/{notification}")
async def mark(api: Api, editor: Editor, notification: Number, said: Fields) -> Response:
    """One is read, or is not."""
    await notifications.mark(api, editor, notification, Mark(is_read=said.get("read") == "true"))
    return back_to("/notifications?unread=true" if said.get("unread") else "/notifications")
