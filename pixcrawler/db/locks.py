"""Advisory locks by name (a scope, a node, an owner), held until the end of the transaction: the first locks of all."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

TAKE = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
SHARE = text("SELECT pg_advisory_xact_lock_shared(hashtextextended(:name, 0))")
TRY = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))")


async def take(connection: AsyncConnection, name: str) -> None:
    """Waits for the lock."""
    await connection.execute(TAKE, {"name": name})


async def share(connection: AsyncConnection, name: str) -> None:
    """Waits for the lock, which others may share: nobody takes it meanwhile."""
    await connection.execute(SHARE, {"name": name})


async def try_take(connection: AsyncConnection, name: str) -> bool:
    """Takes the lock unless somebody else has it. False: so it is."""
    return bool(await connection.scalar(TRY, {"name": name}))
