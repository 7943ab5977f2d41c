"""Statements on `crawler.idempotency_keys`: answers given to requests that may come again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db.crawler import idempotency_keys as keys

REMEMBERED = timedelta(days=1)


async def forget(connection: AsyncConnection) -> None:
    """Drops what nobody may ask for any more."""
    await connection.execute(delete(keys).where(keys.c.created_at < func.now() - REMEMBERED))


async def begin(connection: AsyncConnection, owner: UUID, key: str, request: str) -> Any:
    """Takes a key for a request (its SHA-256). Returns what an earlier one has left: (request, answer); None: nothing.

    Whoever comes with the same key meanwhile waits for the end of this transaction.
    """
    await connection.execute(delete(keys).where(keys.c.owner == owner, keys.c.created_at < func.now() - REMEMBERED))
    new = insert(keys).values(owner=owner, key=key, request=request).on_conflict_do_nothing().returning(keys.c.key)
    if await connection.scalar(new) is not None:
        return None
    found = select(*keys.c["request", "answer"]).where(keys.c.owner == owner, keys.c.key == key)
    return (await connection.execute(found)).one()


async def finish(connection: AsyncConnection, owner: UUID, key: str, answer: dict[str, Any]) -> None:
    """Keeps the answer, in the same transaction as what it tells of."""
    mine = (keys.c.owner == owner) & (keys.c.key == key)
    await connection.execute(update(keys).where(mine).values(answer=answer))
