"""Who the caller is. Signing up and in is Supabase's business."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from pixcrawler.api.gate import Caller, Reader, Writer
from pixcrawler.api.problems import Code, Refused
from pixcrawler.api.routes import also, router
from pixcrawler.api.state import Api
from pixcrawler.db import profiles
from pixcrawler.db.profiles import Profile
from pixcrawler.owners.keys import Scope

ADDRESS_LENGTH, NAME_LENGTH = 255, 100  # of the columns in profiles

routes = router("auth", "auth")


class Me(BaseModel):
    """Who asks, how they came in, and what they may do."""

    user_id: UUID
    kind: str  # local, token, key
    permissions: list[Scope]
    expires_at: datetime | None
    profile: Profile | None  # null: sync-profile makes one


@routes.get("/me")
async def me(api: Api, caller: Reader) -> Me:
    """Who I am."""
    async with api.reading() as connection:
        return _shown(caller, await profiles.get(connection, caller.user))


@routes.post("/verify-token")
async def verify_token(api: Api, caller: Reader) -> Me:
    """Whether the token or key in `Authorization` is valid: 200 with whose it is, else 401."""
    return await me(api, caller)


@routes.post("/sync-profile", **also(Code.CONFLICT))
async def sync_profile(api: Api, caller: Writer) -> Me:
    """Makes the profile of a user from their token, or brings its address up to date."""
    if caller.kind != "token":
        raise Refused(Code.CONFLICT, "only an access token tells who its user is")
    address = caller.claims.get("email")
    if not isinstance(address, str) or not 0 < len(address) <= ADDRESS_LENGTH or not address.isprintable():
        raise Refused(Code.CONFLICT, "the token tells no mail address, and a profile needs one")
    told = caller.claims.get("user_metadata")
    told = told if isinstance(told, Mapping) else {}
    async with api.transaction() as connection:
        if await profiles.has_address(connection, address, caller.user):
            raise Refused(Code.CONFLICT, "another user has this mail address")
        profile = await profiles.put(
            connection,
            caller.user,
            email=address,
            full_name=_text(told, "full_name", "name", length=NAME_LENGTH),
            avatar_url=_text(told, "avatar_url", "picture", length=2000),
        )
    return _shown(caller, profile)


def _shown(caller: Caller, profile: Profile | None) -> Me:
    until = datetime.fromtimestamp(caller.until, UTC) if caller.until else None
    permissions = [scope for scope in Scope if scope in caller.scopes]
    return Me(user_id=caller.user, kind=caller.kind, permissions=permissions, expires_at=until, profile=profile)


def _text(told: Mapping[str, Any], *names: str, length: int) -> str | None:
    for name in names:
        text = told.get(name)
        if isinstance(text, str) and text.strip() and text.isprintable():
            return text[:length]
    return None
