"""Credits and usage."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from pixcrawler.api.gate import Reader
from pixcrawler.api.paging import Cursor, Limit, Page, by_time, paged
from pixcrawler.api.routes import router
from pixcrawler.api.state import Api
from pixcrawler.db import accounts, usage
from pixcrawler.db.accounts import Account, Transaction
from pixcrawler.db.usage import Day

credit_routes = router("credits", "credits")
usage_routes = router("usage", "usage")


@credit_routes.get("/balance")
async def balance(api: Api, caller: Reader) -> Account:
    """What I have; each image of a dataset takes one credit."""
    async with api.reading() as connection:
        return await accounts.account(connection, caller.user)


@credit_routes.get("/transactions")
async def transactions(api: Api, caller: Reader, cursor: Cursor = None, limit: Limit = 20) -> Page[Transaction]:
    """How it became that, the newest first."""
    after = by_time(cursor)
    async with api.reading() as connection:
        rows = await accounts.transactions(connection, caller.user, after, limit)
    return paged(rows, limit, "created_at", "id")


@usage_routes.get("/")
async def days(api: Api, caller: Reader, days: Annotated[int, Query(ge=1, le=100)] = 30) -> list[Day]:
    """What I used, by day, the newest first; days without any are left out."""
    async with api.reading() as connection:
        return await usage.days(connection, caller.user, days)
