"""Statements on `crawler.rate_limits`: how often somebody has come in this minute and in the one before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# The window slides: of the minute before counts what is left of it. Who is refused does not count further, so that
# waiting helps, and one statement in the order of the subjects cannot deadlock with another.
COUNT = text("""
    INSERT INTO crawler.rate_limits AS r (subject, minute, used)
    SELECT wanted.subject, floor(extract(epoch FROM now()) / 60), 1
    FROM jsonb_object_keys(CAST(:limits AS jsonb)) AS wanted(subject)
    ORDER BY wanted.subject
    ON CONFLICT (subject) DO UPDATE SET
        minute = greatest(r.minute, excluded.minute),
        before = CASE WHEN excluded.minute <= r.minute THEN r.before
            WHEN excluded.minute = r.minute + 1 THEN r.used ELSE 0 END,
        used = CASE WHEN excluded.minute <= r.minute
            THEN least(r.used + 1, (CAST(:limits AS jsonb)->>r.subject)::integer + 1) ELSE 1 END
    RETURNING subject, used + floor(before * (1 - extract(epoch FROM now()) / 60 % 1)) AS used,
        60 - floor(extract(epoch FROM now()))::integer % 60 AS seconds
""")
FORGET = text("DELETE FROM crawler.rate_limits WHERE minute < floor(extract(epoch FROM now()) / 60) - 1")


@dataclass(frozen=True, slots=True)
class Count:
    """How a subject stands against its limit."""

    subject: str
    limit: int  # a minute
    used: int
    seconds: int  # until the minute is over

    @property
    def left(self) -> int:
        return max(0, self.limit - self.used)

    @property
    def exceeded(self) -> bool:
        return self.used > self.limit


async def count(connection: AsyncConnection, limits: Mapping[str, int]) -> list[Count]:
    """Counts one more of every subject, each with its limit a minute."""
    rows = await connection.execute(COUNT, {"limits": json.dumps(dict(limits))})
    return [Count(row.subject, limits[row.subject], int(row.used), row.seconds) for row in rows]


async def forget(connection: AsyncConnection) -> None:
    """Drops what no limit looks at any more."""
    await connection.execute(FORGET)
