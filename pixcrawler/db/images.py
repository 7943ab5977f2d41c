"""Statements on `public.images`: the kept pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import RowMapping, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db.public import images
from pixcrawler.items import ImageItem
from pixcrawler.rights import licence_of


def row(item: ImageItem, *, job: int, filename: str, position: int, run: int) -> dict[str, Any]:
    """The row of a kept, inspected and stored picture."""
    found = item.inspection
    assert found is not None
    said = {name: value for name, value in item.facts().items() if name in SAID}
    licence = licence_of(item.license, item.license_url, item.source)
    return {
        "crawl_job_id": job,
        "original_url": item.facts()["url"],
        "filename": filename,
        "storage_url": item.storage_url,
        "width": found.width,
        "height": found.height,
        "file_size": found.size,
        "format": found.format,
        "hash": found.sha256,
        "metadata": said
        | {
            "sha256": found.sha256,
            "storage_key": item.storage_key,
            "run": run,
            "position": position,
            "ip": item.ip,
            "license_id": licence.id if licence else None,
        },
    }


SAID = frozenset(
    {"source", "keyword", "page_url", "title", "creator", "creator_url", "license", "license_url", "attribution"}
    | {"source_id", "label"}
)


async def add(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> list[int]:
    """Inserts kept pictures. Returns their ids in the order given."""
    statement = insert(images).returning(images.c.id, sort_by_parameter_order=True)
    return list((await connection.scalars(statement, rows)).all())


async def of_job(connection: AsyncConnection, job: int) -> list[RowMapping]:
    """The kept pictures of a job in the order in which they were kept."""
    wanted = (images.c.crawl_job_id == job) & ~images.c.is_duplicate & images.c.is_valid
    return list((await connection.execute(select(images).where(wanted).order_by(images.c.id))).mappings().all())
