"""API keys, for programs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from fastapi import APIRouter, Request, Response
from starlette.datastructures import FormData

from pixcrawler.api.dashboard.pages import back_to, page
from pixcrawler.api.dashboard.visitors import Fields, Keeper
from pixcrawler.api.dashboard.words import Said
from pixcrawler.api.gate import Caller
from pixcrawler.api.paging import Cursor
from pixcrawler.api.routes import api_keys
from pixcrawler.api.routes.api_keys import MadeKey, NewKey
from pixcrawler.api.state import Api, State
from pixcrawler.errors import UsageError
from pixcrawler.owners.keys import RATE_LIMIT, Scope
from pixcrawler.owners.projects import checked_name

SHOWN = 30  # a page
STATES = {"active": Said("active", "good"), "expired": Said("over", "quiet"), "revoked": Said("revoked", "bad")}
SCOPES = (
    (Scope.READ, "Read: look at everything"),
    (Scope.WRITE, "Write: ask for jobs, change and stop them, too"),
    (Scope.ADMIN, "Admin: make and revoke keys, too"),
)
ENDS = (("30", "In 30 days"), ("90", "In 90 days"), ("365", "In a year"), ("", "Never"))

routes = APIRouter(include_in_schema=False)


@routes.get("/keys")
async def list_(request: Request, api: Api, keeper: Keeper, cursor: Cursor = None) -> Response:
    """The newest first, and the form for another."""
    return await _list(request, api, keeper, cursor)


async def _list(
    request: Request,
    api: State,
    keeper: Caller,
    cursor: str | None = None,
    made: MadeKey | None = None,
    said: FormData | None = None,
    wrong: str = "",
) -> Response:
    found = await api_keys.list_(api, keeper, cursor, SHOWN)
    status = 422 if wrong else 201 if made else 200
    choices = {"scopes": SCOPES, "ends": ENDS, "states": STATES}
    about = {"keys": found.items, "next_cursor": found.next_cursor}
    return page(request, "keys.html", status, **about, **choices, made=made, said=said or FormData(), wrong=wrong)


@routes.post("/keys")
async def create(request: Request, api: Api, keeper: Keeper, said: Fields) -> Response:
    """Another one, which only this answer shows."""
    try:
        wanted = _wanted(said)
    except UsageError as error:
        return await _list(request, api, keeper, said=said, wrong=str(error))
    made = await api_keys.create(api, keeper, wanted)
    return await _list(request, api, keeper, made=made)


def _wanted(said: FormData) -> NewKey:
    name = checked_name(str(said.get("name", "")))
    days, scope = said.get("days", ""), said.get("scope", Scope.READ)
    if days not in dict(ENDS) or scope not in dict(SCOPES):
        raise UsageError("expected one of what the form offers")
    end = datetime.now(UTC) + timedelta(days=int(str(days))) if days else None
    return NewKey(name=name, permissions=[Scope(str(scope))], rate_limit=RATE_LIMIT, expires_at=end)


@routes.post("/keys/{key}/revoke")
async def revoke(api: Api, keeper: Keeper, key: UUID) -> Response:
    """Ends one for good."""
    await api_keys.revoke(api, keeper, key)
    return back_to("/keys")
