"""Statements on `crawler.hosts`: who asked for a pause, for all crawl processes to know."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db.attempts import in_seconds
from pixcrawler.db.crawler import hosts
from pixcrawler.ledger import Pause


async def pause(connection: AsyncConnection, host: str, pause: Pause) -> None:
    """Books a pause from now on, unless the host has a longer one already."""
    row = {"host": host, "not_before": in_seconds(pause.seconds), "reason": pause.reason}
    statement = insert(hosts).values(row)
    new = statement.excluded
    statement = statement.on_conflict_do_update(
        index_elements=[hosts.c.host],
        set_={"not_before": new.not_before, "reason": new.reason, "updated_at": func.now()},
        where=hosts.c.not_before < new.not_before,
    )
    await connection.execute(statement)


async def paused(connection: AsyncConnection) -> dict[str, Pause]:
    """The pauses that are not over."""
    left = hosts.c.not_before - func.now()
    rows = await connection.execute(select(hosts.c.host, left, hosts.c.reason).where(left > timedelta()))
    return {host: Pause(seconds.total_seconds(), reason) for host, seconds, reason in rows}
