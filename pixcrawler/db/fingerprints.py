"""Statements on `crawler.fingerprints`: the pictures kept in a scope, in the order in which they were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db.crawler import fingerprints


async def newer(connection: AsyncConnection, scope: str, seq: int, algorithm: int) -> list[Any]:
    """Fingerprints of the scope after `seq`, in order (seq, sha256, phash)."""
    statement = select(*fingerprints.c["seq", "sha256", "phash"]).where(
        fingerprints.c.scope == scope, fingerprints.c.seq > seq, fingerprints.c.algorithm == algorithm
    )
    return list((await connection.execute(statement.order_by(fingerprints.c.seq))).all())


async def add(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> int:
    """Adds fingerprints, under the scope's lock. Returns the last seq."""
    statement = insert(fingerprints).returning(fingerprints.c.seq, sort_by_parameter_order=True)
    last: int = max((await connection.scalars(statement, rows)).all())
    return last
