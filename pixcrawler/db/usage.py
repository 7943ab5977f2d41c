"""Statements on `public.usage_metrics`: one row per owner and day, whether or not the database sees to that."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import Date, cast, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db.public import usage_metrics

# `metric_date` is a date or a timestamp. Limits are the product's: a new day has those of the last one.
ADD = text("""
    UPDATE public.usage_metrics SET images_processed = images_processed + :images,
        api_calls = api_calls + :calls, storage_used_gb = coalesce(CAST(:gigabytes AS numeric), storage_used_gb)
    WHERE id = (
        SELECT id FROM public.usage_metrics
        WHERE user_id = :owner AND metric_date >= current_date AND metric_date < current_date + 1
        ORDER BY created_at, id LIMIT 1
    )
    RETURNING id
""")
BEGIN_DAY = text("""
    INSERT INTO public.usage_metrics (user_id, metric_date, images_processed, api_calls, storage_used_gb,
        images_limit, storage_limit_gb, api_calls_limit, bandwidth_limit_gb)
    SELECT :owner, current_date, :images, :calls,
        coalesce(CAST(:gigabytes AS numeric), last.storage_used_gb, 0), coalesce(last.images_limit, 10000),
        coalesce(last.storage_limit_gb, 100), coalesce(last.api_calls_limit, 50000),
        coalesce(last.bandwidth_limit_gb, 500)
    FROM (SELECT) one LEFT JOIN LATERAL (
        SELECT * FROM public.usage_metrics WHERE user_id = :owner ORDER BY metric_date DESC LIMIT 1
    ) last ON true
""")
USED = ("images_processed", "storage_used_gb", "api_calls", "bandwidth_used_gb")
LIMITS = ("images_limit", "storage_limit_gb", "api_calls_limit", "bandwidth_limit_gb")
STORED = text("SELECT coalesce(sum(bytes), 0) / 1e9 FROM crawler.jobs WHERE owner = :owner")


async def add(connection: AsyncConnection, owner: UUID, images: int) -> None:
    """Adds images to today's, and writes how many gigabytes the owner's images have. Under the account's lock."""
    gigabytes = await connection.scalar(STORED, {"owner": owner})
    await _add(connection, owner, images=images, calls=0, gigabytes=gigabytes)


async def add_calls(connection: AsyncConnection, owner: UUID, calls: int) -> None:
    """Adds requests to the API to today's."""
    await _add(connection, owner, images=0, calls=calls, gigabytes=None)


async def _add(connection: AsyncConnection, owner: UUID, **values: object) -> None:
    if await connection.scalar(ADD, {"owner": owner, **values}) is None:
        await connection.execute(BEGIN_DAY, {"owner": owner, **values})


@dataclass(frozen=True, slots=True)
class Day:
    """What an owner used on one day, and might have."""

    day: date
    images_processed: int
    images_limit: int
    storage_used_gb: float
    storage_limit_gb: float
    api_calls: int
    api_calls_limit: int
    bandwidth_used_gb: float
    bandwidth_limit_gb: float


async def days(connection: AsyncConnection, owner: UUID, number: int) -> list[Day]:
    """An owner's last days with any usage, the newest first."""
    day = cast(usage_metrics.c.metric_date, Date)
    used = (func.sum(usage_metrics.c[name]).label(name) for name in USED)
    limits = (func.max(usage_metrics.c[name]).label(name) for name in LIMITS)
    statement = select(day.label("day"), *used, *limits).where(usage_metrics.c.user_id == owner)
    rows = await connection.execute(statement.group_by(day).order_by(day.desc()).limit(number))
    return [Day(**row._mapping) for row in rows]
