"""Who was dropped for whom, and which kept pictures resemble each other: read from rows, changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db import fingerprints
from pixcrawler.db.crawler import candidates, jobs
from pixcrawler.db.crawler import fingerprints as kept
from pixcrawler.db.public import images
from pixcrawler.db.scopes import name_of
from pixcrawler.duplicates import ALGORITHM, Index, Proposals, Wanted, copies
from pixcrawler.items import Looks
from pixcrawler.likeness import DEFAULT, PRESETS

Ask = Callable[[Callable[[AsyncConnection], Awaitable[Any]]], Awaitable[Any]]

GROUPED_BY = PRESETS[DEFAULT]  # whatever a job has dropped; and mirror images are as like


@dataclass(frozen=True, slots=True)
class Dropped:
    """A copy that was not kept."""

    url: str
    page_url: str | None
    source: str
    decision: str  # duplicate_bytes, near_duplicate or replaced
    distance: int  # bits of 256 in which the codes differ
    likeness: float | None  # of a near duplicate: the correlation of the two, up to 1


@dataclass(frozen=True, slots=True)
class Group:
    """A kept picture, and those that were dropped for it."""

    image: int
    job: int | None  # whose it is; None: its row is gone
    file: str | None
    url: str | None  # where it was found
    storage_url: str | None
    dropped: tuple[Dropped, ...]


async def groups(connection: AsyncConnection, job: int) -> list[Group]:
    """What a job has dropped for the sake of other pictures, its own and those of its scope."""
    facts = candidates.c.item
    statement = (
        select(
            *candidates.c["duplicate_of", "decision", "distance", "likeness"],
            facts["url"].as_string().label("found_at"),
            facts["page_url"].as_string().label("page_url"),
            facts["source"].as_string().label("source"),
            *images.c["crawl_job_id", "filename", "original_url", "storage_url"],
        )
        .select_from(candidates.outerjoin(images, images.c.id == candidates.c.duplicate_of))
        .where(candidates.c.job == job, candidates.c.duplicate_of.is_not(None))
        .order_by(candidates.c.duplicate_of, candidates.c.seq)
    )
    found: dict[int, list[Any]] = {}
    for row in await connection.execute(statement):
        found.setdefault(row.duplicate_of, []).append(row)
    return [_group(image, rows) for image, rows in found.items()]


def _group(image: int, rows: list[Any]) -> Group:
    first = rows[0]
    dropped = tuple(Dropped(r.found_at, r.page_url, r.source, r.decision, r.distance, r.likeness) for r in rows)
    return Group(image, first.crawl_job_id, first.filename, first.original_url, first.storage_url, dropped)


async def alike(ask: Ask, job: int) -> dict[int, str]:
    """The kept pictures of a job that resemble others of it: image id → name of its group.

    Whoever splits a dataset puts those of one group on one side. Pictures that are not in it resemble none. `ask` puts
    a question in a transaction of its own: none is open while pictures are compared.
    """
    rows = await ask(lambda connection: _with_codes(connection, job))
    proposed = await asyncio.to_thread(_proposed, rows)
    if not proposed:
        return {}
    wanted = {*proposed, *(number for each in proposed.values() for some in each for number in some.numbers.tolist())}
    found = await ask(lambda connection: fingerprints.get(connection, rows[0].scope, wanted))
    prints = {number: row.fingerprint for number, row in found.items()}
    return await asyncio.to_thread(_grouped, rows, proposed, prints)


def _proposed(rows: Sequence[Any]) -> dict[int, list[Proposals]]:
    """Whom the codes of a picture are near among those before it, by seq; pictures near none are left out."""
    index = Index()
    found = {}
    for row in rows:
        looks = Looks(row.codes, b"")
        near = [index.near(looks, GROUPED_BY, flipped=flipped) for flipped in (False, True)]
        index.add([(row.seq, row.sha256, row.codes)])
        if some := [each for each in near if len(each.numbers)]:
            found[row.seq] = some
    return found


def _grouped(
    rows: Sequence[Any], proposed: Mapping[int, list[Proposals]], prints: Mapping[int, bytes]
) -> dict[int, str]:
    groups: dict[int, set[int]] = {}  # by the seq of each picture, seqs
    for row in rows:
        group = groups[row.seq] = {row.seq}
        if row.seq not in prints:
            continue
        looks = Looks(row.codes, prints[row.seq])
        matches = (copies(GROUPED_BY, looks, some, prints) for some in proposed.get(row.seq, ()))
        for match in (match for some in matches for match in some):
            group |= groups[match.number]
        groups |= dict.fromkeys(group, group)
    images_by_seq = {row.seq: row.image_id for row in rows}
    return {
        images_by_seq[seq]: f"alike-{min(images_by_seq[other] for other in group)}"
        for seq, group in groups.items()
        if len(group) > 1
    }


async def _with_codes(connection: AsyncConnection, job: int) -> list[Any]:
    about = (await connection.execute(select(jobs).where(jobs.c.id == job))).one_or_none()
    if about is None:
        return []
    statement = select(*kept.c["scope", "seq", "image_id", "sha256", "codes"]).where(
        kept.c.scope == name_of(Wanted.of(about.options).extent, about),
        kept.c.job == job,
        kept.c.algorithm == ALGORITHM,
        kept.c.codes != b"",
    )
    return list((await connection.execute(statement.order_by(kept.c.seq))).all())
