"""Statements on `public.images`: the kept pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Integer, RowMapping, Select, cast, func, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db.paging import newest_first
from pixcrawler.db.public import images
from pixcrawler.items import ImageItem
from pixcrawler.rights import licence_of

SIGHTINGS = 20  # of copies that a picture's record tells of; popular ones are all over the web

# All rows in one value: as many parameters as they have fields would take longer to prepare than to insert.
ADD = text("""
INSERT INTO public.images (
    crawl_job_id, original_url, filename, storage_url, width, height, file_size, format, hash, metadata
)
SELECT crawl_job_id, original_url, filename, storage_url, width, height, file_size, format, hash, metadata
FROM ROWS FROM (jsonb_to_recordset(CAST(:rows AS jsonb)) AS (
    crawl_job_id integer, original_url text, filename text, storage_url text, width integer, height integer,
    file_size integer, format text, hash text, metadata jsonb
)) WITH ORDINALITY AS x(
    crawl_job_id, original_url, filename, storage_url, width, height, file_size, format, hash, metadata, place
)
ORDER BY place
RETURNING id, CAST(metadata->>'position' AS integer) AS position
""")
# Those of one image are added in the order in which they were met.
MERGE = text("""
UPDATE public.images i
SET metadata = jsonb_set(i.metadata, '{also_found}', jsonb_path_query_array(
    coalesce(i.metadata->'also_found', '[]') || x.seen, CAST('$[0 to ' || (:most - 1) || ']' AS jsonpath)))
FROM (
    SELECT id, jsonb_agg(seen ORDER BY place) AS seen
    FROM ROWS FROM (jsonb_to_recordset(CAST(:rows AS jsonb)) AS (id integer, seen jsonb))
        WITH ORDINALITY AS y(id, seen, place)
    GROUP BY id
) x
WHERE i.id = x.id AND jsonb_array_length(coalesce(i.metadata->'also_found', '[]')) < :most
""")


def row(
    item: ImageItem, *, job: int, filename: str, position: int, run: int, trace: str, also_found: Sequence[Any] = ()
) -> dict[str, Any]:
    """The row of a kept, inspected and stored picture; `also_found` are sightings of its copies."""
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
            "trace": trace,
            "position": position,
            "ip": item.ip,
            "license_id": licence.id if licence else None,
        }
        | ({"also_found": list(also_found)[:SIGHTINGS]} if also_found else {}),
    }


SAID = frozenset(
    {"source", "keyword", "page_url", "title", "creator", "creator_url", "license", "license_url", "attribution"}
    | {"source_id", "label"}
)


def sighting(facts: Mapping[str, Any]) -> dict[str, str]:
    """What is told of a copy, where one was kept: who else has the picture, and what they say of its rights."""
    told = {"licence": facts.get("license_url") or facts.get("license")}
    told |= {name: facts.get(name) for name in ("source", "url", "page_url", "creator")}
    return {name: value for name, value in told.items() if value}


async def merge(connection: AsyncConnection, told: Sequence[tuple[int, dict[str, str]]]) -> None:
    """Adds sightings of copies to the records of images, as far as there is room."""
    if told:
        rows = [{"id": image, "seen": seen} for image, seen in told]
        await connection.execute(MERGE, {"rows": json.dumps(rows), "most": SIGHTINGS})


async def add(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> list[int]:
    """Inserts kept pictures, each with a position of its own. Returns their ids in the order given."""
    added = {row.position: row.id for row in await connection.execute(ADD, {"rows": json.dumps(rows)})}
    return [added[row["metadata"]["position"]] for row in rows]


def _kept(job: int) -> ColumnElement[bool]:
    return (images.c.crawl_job_id == job) & ~images.c.is_duplicate & images.c.is_valid


async def total(connection: AsyncConnection, job: int) -> tuple[int, int]:
    """How many kept pictures a job has, and their bytes."""
    statement = select(func.count(), func.coalesce(func.sum(images.c.file_size), 0)).where(_kept(job))
    number, size = (await connection.execute(statement)).one()
    return int(number), int(size)


async def places(connection: AsyncConnection, job: int, after: int, limit: int) -> list[Any]:
    """The next kept pictures of a job (id, position) whose ids are greater than `after`, by id."""
    position = cast(images.c.metadata["position"].astext, Integer).label("position")
    statement = select(images.c.id, position).where(_kept(job), images.c.id > after)
    return list((await connection.execute(statement.order_by(images.c.id).limit(limit))).all())


async def get(connection: AsyncConnection, ids: Sequence[int]) -> list[RowMapping]:
    """Rows by their ids, in that order; those that are gone are left out."""
    rows = (await connection.execute(select(images).where(images.c.id.in_(ids)))).mappings().all()
    by_id = {row["id"]: row for row in rows}
    return [by_id[id_] for id_ in ids if id_ in by_id]


async def keys_among(connection: AsyncConnection, job: int, keys: Sequence[str]) -> set[str]:
    """Those of the storage keys that are of kept pictures of the job."""
    key = images.c.metadata["storage_key"].astext
    return set((await connection.scalars(select(key).where(_kept(job), key.in_(keys)))).all())


@dataclass(frozen=True, slots=True)
class Image:
    """A kept picture: what it is, where it is from, and whose."""

    id: int
    url: str
    filename: str
    width: int | None
    height: int | None
    size: int | None  # bytes
    format: str | None
    sha256: str | None
    storage_key: str | None
    source: str | None
    keyword: str | None
    page_url: str | None
    title: str | None
    creator: str | None
    creator_url: str | None
    license: str | None  # as the source says
    license_id: str | None  # as we understand it
    license_url: str | None
    attribution: str | None
    created_at: datetime


TOLD = (
    *("storage_key", "source", "keyword", "page_url", "title", "creator", "creator_url", "license", "license_id"),
    *("license_url", "attribution"),
)


async def page(
    connection: AsyncConnection,
    job: int,
    after: Sequence[Any] | None,
    limit: int,
    *,
    format: str | None = None,  # noqa: A002 the column's name
    **told: str | None,
) -> list[Image]:
    """The newest kept pictures of a job after a place, one more than `limit` if there are.

    Those of a format, or of a `source`, `keyword` or `license_id`, if given.
    """
    statement = _told(job)
    if format is not None:
        statement = statement.where(images.c.format == format)
    for name, value in told.items():
        if value is not None:
            statement = statement.where(images.c.metadata[name].as_string() == value)
    rows = await connection.execute(newest_first(statement, [images.c.id], after, limit))
    return [Image(**row._mapping) for row in rows]


async def one(connection: AsyncConnection, job: int, image: int) -> Image | None:
    """One of the kept pictures of a job."""
    row = (await connection.execute(_told(job).where(images.c.id == image))).one_or_none()
    return Image(**row._mapping) if row else None


# Made once: it is long.
SHOWN = select(
    *images.c["id", "filename", "width", "height", "format", "created_at"],
    images.c.original_url.label("url"),
    images.c.file_size.label("size"),
    images.c.hash.label("sha256"),
    *(images.c.metadata[name].as_string().label(name) for name in TOLD),
)


def _told(job: int) -> Select[Any]:
    return SHOWN.where(_kept(job))


CHOSEN_BY = ("source", "keyword", "license_id")


async def counts(connection: AsyncConnection, job: int) -> dict[str, dict[str, int]]:
    """How many kept pictures a job has of each source, keyword and licence, the most first."""
    facts = [images.c.metadata[name].as_string() for name in CHOSEN_BY]
    seen = select(*(fact.label(name) for name, fact in zip(CHOSEN_BY, facts, strict=True))).where(_kept(job)).subquery()
    number = func.count().label("number")
    statement = select(*seen.c, number).group_by(func.grouping_sets(*(tuple_(column) for column in seen.c)))
    found: dict[str, dict[str, int]] = {name: {} for name in CHOSEN_BY}
    for row in await connection.execute(statement.order_by(number.desc(), *seen.c)):
        for name in CHOSEN_BY:
            if (value := row._mapping[name]) is not None:
                found[name][value] = row.number
    return found
