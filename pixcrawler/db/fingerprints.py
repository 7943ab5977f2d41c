"""Statements on `crawler.fingerprints`: the pictures kept in a scope, in the order in which they were."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import case, func, literal, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db.crawler import fingerprints

# All rows in one value; see `images.ADD`.
ADD = text("""
INSERT INTO crawler.fingerprints (
    scope, job, image_id, sha256, codes, fingerprint, algorithm, pixels, freedom, credited
)
SELECT scope, job, image_id, sha256, decode(codes, 'base64'), decode(fingerprint, 'base64'),
    algorithm, pixels, freedom, credited
FROM ROWS FROM (jsonb_to_recordset(CAST(:rows AS jsonb)) AS (
    scope text, job integer, image_id integer, sha256 text, codes text, fingerprint text,
    algorithm smallint, pixels integer, freedom smallint, credited boolean
)) WITH ORDINALITY AS x(
    scope, job, image_id, sha256, codes, fingerprint, algorithm, pixels, freedom, credited, place
)
ORDER BY place
RETURNING seq, sha256
""")


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


async def add(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Adds fingerprints, under the scope's lock. Returns their numbers, by SHA-256."""
    written = [row | {name: b64encode(row[name]).decode() for name in ("codes", "fingerprint")} for row in rows]
    return {row.sha256: row.seq for row in await connection.execute(ADD, {"rows": json.dumps(written)})}


async def replace(connection: AsyncConnection, scope: str, seq: int, row: dict[str, Any]) -> None:
    """Puts another picture in the place of one; as the newest, so that everybody hears of it."""
    its = (fingerprints.c.scope == scope) & (fingerprints.c.seq == seq)
    await connection.execute(update(fingerprints).where(its).values(row | {"seq": text("DEFAULT")}))
