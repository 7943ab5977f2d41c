"""Statements on `public.usage_metrics`: one row per owner and day, whether or not the database sees to that."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# `metric_date` is a date or a timestamp. Limits are the product's: a new day has those of the last one.
ADD = text("""
    UPDATE public.usage_metrics SET images_processed = images_processed + :images, storage_used_gb = :gigabytes
    WHERE id = (
        SELECT id FROM public.usage_metrics
        WHERE user_id = :owner AND metric_date >= current_date AND metric_date < current_date + 1
        ORDER BY created_at, id LIMIT 1
    )
    RETURNING id
""")
BEGIN_DAY = text("""
    INSERT INTO public.usage_metrics (user_id, metric_date, images_processed, storage_used_gb,
        images_limit, storage_limit_gb, api_calls_limit, bandwidth_limit_gb)
    SELECT :owner, current_date, :images, :gigabytes, coalesce(last.images_limit, 10000),
        coalesce(last.storage_limit_gb, 100), coalesce(last.api_calls_limit, 50000),
        coalesce(last.bandwidth_limit_gb, 500)
    FROM (SELECT) one LEFT JOIN LATERAL (
        SELECT * FROM public.usage_metrics WHERE user_id = :owner ORDER BY metric_date DESC LIMIT 1
    ) last ON true
""")
STORED = text("SELECT coalesce(sum(bytes), 0) / 1e9 FROM crawler.jobs WHERE owner = :owner")


async def add(connection: AsyncConnection, owner: UUID, images: int) -> None:
    """Adds images to today's, and writes how many gigabytes the owner's images have. Under the account's lock."""
    gigabytes = await connection.scalar(STORED, {"owner": owner})
    values = {"owner": owner, "images": images, "gigabytes": gigabytes}
    if await connection.scalar(ADD, values) is None:
        await connection.execute(BEGIN_DAY, values)
