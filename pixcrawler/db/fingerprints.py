"""Statements on `crawler.fingerprints`: the pictures kept in a scope, in the order in which they were."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import case, func, insert, literal, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db.crawler import fingerprints


async def newer(connection: AsyncConnection, scope: str, seq: int, *, algorithm: int, limit: int) -> list[Any]:
    """The first fingerprints of the scope after `seq`, in order (seq, sha256, codes): none of another algorithm."""
    comparable = case((fingerprints.c.algorithm == algorithm, fingerprints.c.codes), else_=literal(b""))
    statement = select(*fingerprints.c["seq", "sha256"], comparable.label("codes")).where(
        fingerprints.c.scope == scope, fingerprints.c.seq > seq
    )
    return list((await connection.execute(statement.order_by(fingerprints.c.seq).limit(limit))).all())


async def get(connection: AsyncConnection, scope: str, seqs: Collection[int]) -> dict[int, Any]:
    """Those of these rows that are still there, by seq."""
    wanted = (fingerprints.c.scope == scope) & (fingerprints.c.seq == func.any(list(seqs)))
    return {row.seq: row for row in await connection.execute(select(fingerprints).where(wanted))}


async def add(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> None:
    """Adds fingerprints, under the scope's lock."""
    await connection.execute(insert(fingerprints), rows)


async def replace(connection: AsyncConnection, scope: str, seq: int, row: dict[str, Any]) -> None:
    """Puts another picture in the place of one; as the newest, so that everybody hears of it."""
    its = (fingerprints.c.scope == scope) & (fingerprints.c.seq == seq)
    await connection.execute(update(fingerprints).where(its).values(row | {"seq": text("DEFAULT")}))
