"""API keys, for programs."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StrictInt

from pixcrawler.api.gate import Admin
from pixcrawler.api.paging import Cursor, Limit, Page, by_time, paged
from pixcrawler.api.problems import Code, not_found
from pixcrawler.api.routes import also, router
from pixcrawler.api.routes.projects import Name, require_profile
from pixcrawler.api.state import Api
from pixcrawler.db import api_keys
from pixcrawler.db.api_keys import ApiKey
from pixcrawler.owners import keys
from pixcrawler.owners.keys import MAX_RATE_LIMIT, RATE_LIMIT, Scope

routes = router("api-keys", "API keys")


class NewKey(BaseModel):
    """A key to be."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    permissions: list[Scope] = Field([Scope.READ], min_length=1, max_length=len(Scope))
    rate_limit: Annotated[StrictInt, Field(ge=1, le=MAX_RATE_LIMIT, description="Requests a minute.")] = RATE_LIMIT
    expires_at: AwareDatetime | None = None


class MadeKey(BaseModel):
    """The only time that the key itself is shown."""

    key: str
    about: ApiKey


@routes.get("/")
async def list_(api: Api, caller: Admin, cursor: Cursor = None, limit: Limit = 20) -> Page[ApiKey]:
    """My keys, the newest first."""
    after = by_time(cursor)
    async with api.reading() as connection:
        rows = await api_keys.page(connection, caller.user, after, limit)
    return paged(rows, limit, "created_at", "id")


@routes.post("/", status_code=201, **also(Code.CONFLICT))
async def create(api: Api, caller: Admin, wanted: NewKey) -> MadeKey:
    """A new key."""
    async with api.transaction() as connection:
        await require_profile(connection, caller)
        key, about = await keys.create(
            connection,
            caller.user,
            wanted.name,
            permissions=wanted.permissions,
            rate_limit=wanted.rate_limit,
            expires_at=wanted.expires_at,
        )
    return MadeKey(key=key, about=about)


@routes.delete("/{key}", status_code=204, **also(Code.NOT_FOUND))
async def revoke(api: Api, caller: Admin, key: UUID) -> None:
    """Ends a key at once, and for good."""
    async with api.transaction() as connection:
        if not await api_keys.revoke(connection, key, caller.user):
            raise not_found()
