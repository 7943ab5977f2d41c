"""Who is connected to the database: parts of PixCrawler call themselves by name there."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

NAMES = text("""
    SELECT split_part(application_name, ' ', 2) AS part, count(*) AS number FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE 'pixcrawler %' GROUP BY 1
""")


async def parts(connection: AsyncConnection) -> Counter[str]:
    """How many connections each part has; behind a pooler they may have lost their names."""
    return Counter({row.part: row.number for row in await connection.execute(NAMES)})
