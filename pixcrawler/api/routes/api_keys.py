"""API keys, for programs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StrictInt

from pixcrawler.api import keys
from pixcrawler.api.gate import Admin, Scope
from pixcrawler.api.paging import Cursor, Limit, Page, by_time, paged
from pixcrawler.api.problems import Code, Refused, not_found
from pixcrawler.api.routes import also, router
from pixcrawler.api.routes.projects import Name
from pixcrawler.api.state import Api
from pixcrawler.db import api_keys, profiles
from pixcrawler.db.api_keys import ApiKey
from pixcrawler.errors import UsageError

RATE_LIMIT = 1000  # as the front end's schema has it

routes = router("api-keys", "API keys")


class NewKey(BaseModel):
    """A key to be."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    permissions: list[Scope] = Field([Scope.READ], min_length=1, max_length=len(Scope))
    rate_limit: Annotated[StrictInt, Field(ge=1, le=100_000, description="Requests a minute.")] = RATE_LIMIT
    expires_at: AwareDatetime | None = None


class MadeKey(BaseModel):
    """The only time that the key itself is shown."""

    key: str
    about: ApiKey


@routes.get("/")
async def list_(api: Api, caller: Admin, cursor: Cursor = None, limit: Limit = 20) -> Page[ApiKey]:
    """My keys, the newest first."""
    after = by_time(cursor)
    async with api.transaction() as connection:
        rows = await api_keys.page(connection, caller.user, after, limit)
    return paged(rows, limit, "created_at", "id")


@routes.post("/", status_code=201, **also(Code.CONFLICT))
async def create(api: Api, caller: Admin, wanted: NewKey) -> MadeKey:
    """A new key."""
    if wanted.expires_at is not None and wanted.expires_at <= datetime.now(UTC):
        raise UsageError("expires_at: is over")
    number, key = keys.new_key()
    async with api.transaction() as connection:
        if await profiles.get(connection, caller.user) is None:
            raise Refused(Code.CONFLICT, "there is no profile yet; POST auth/sync-profile makes one")
        about = await api_keys.create(
            connection,
            key=number,
            owner=caller.user,
            name=wanted.name,
            digest=keys.digest(key),
            prefix=key[: keys.SHOWN],
            permissions=sorted(set(wanted.permissions)),
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
