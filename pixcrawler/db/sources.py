"""Statements on `crawler.sources`: what the last check of each source came to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db.crawler import sources
from pixcrawler.jobs import Health

COUNTS_FOR = timedelta(days=2)  # nobody checks any more: a daily check that failed once is no reason to skip for ever


async def book(
    connection: AsyncConnection, name: str, state: Health, reason: str | None, report: Mapping[str, Any]
) -> None:
    """Books a check, over the one before."""
    found = {"state": state, "reason": reason, "report": dict(report), "checked_at": func.now()}
    statement = insert(sources).values(name=name, **found)
    await connection.execute(statement.on_conflict_do_update(index_elements=[sources.c.name], set_=found))


async def checks(connection: AsyncConnection) -> dict[str, Any]:
    """The last check of every source that ever had one, by name: rows with state, reason, report and checked_at."""
    return {row.name: row for row in await connection.execute(select(sources))}


async def broken(connection: AsyncConnection) -> dict[str, str]:
    """Why sources cannot be used, by name."""
    lately = sources.c.checked_at > func.now() - COUNTS_FOR
    rows = await connection.execute(
        select(sources.c.name, sources.c.reason).where(sources.c.state == Health.BROKEN, lately)
    )
    return {name: reason or "" for name, reason in rows}
