"""Where pictures are that somebody takes back: reads a page at a time, changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pixcrawler.db.crawler import candidates, fingerprints, jobs
from pixcrawler.db.engine import transaction
from pixcrawler.db.public import images
from pixcrawler.db.scopes import name_of
from pixcrawler.db.takedowns import SCOPE, WANTED
from pixcrawler.duplicates import ALGORITHM, Index, Wanted, copies
from pixcrawler.items import Looks
from pixcrawler.takedowns import Kind, Subject, marks, marks_of_image

ROWS = 2000  # of 2 kB
CODES = 20_000  # of 100 bytes


@dataclass(frozen=True, slots=True)
class Picture:
    """A row of `public.images`, of one of our jobs."""

    id: int
    job: int
    sha256: str


async def named(engine: AsyncEngine, subject: Subject) -> list[Picture]:
    """The pictures that are meant, kept or replaced; also those of which a copy is."""
    if subject.kind is Kind.SHA256:
        return await _of_bytes(engine, [subject.value])
    ids: set[int] = set()
    async with transaction(engine) as connection:
        every_job = (await connection.scalars(select(jobs.c.id).order_by(jobs.c.id))).all()
    for job in every_job:
        async with transaction(engine) as connection:
            ids |= await _dropped_for(connection, job, subject)
        async for rows in _pages(engine, job):
            ids |= {row.id for row in rows if subject.mark in marks_of_image(row.original_url, row.metadata or {})}
    return await _pictures(engine, images.c.id, ids)


async def _pages(engine: AsyncEngine, job: int) -> AsyncIterator[Sequence[Any]]:
    rows: Sequence[Any] = []
    while not rows or len(rows) == ROWS:
        after = rows[-1].id if rows else 0
        statement = select(*images.c["id", "original_url", "metadata"]).where(
            images.c.crawl_job_id == job, images.c.id > after
        )
        async with transaction(engine) as connection:
            rows = (await connection.execute(statement.order_by(images.c.id).limit(ROWS))).all()
        if not rows:
            return
        yield rows


async def _dropped_for(connection: AsyncConnection, job: int, subject: Subject) -> set[int]:
    """The images for which the job has dropped copies that are meant: an image tells of some of its copies only."""
    statement = select(*candidates.c["duplicate_of", "item"]).where(
        candidates.c.job == job, candidates.c.duplicate_of.is_not(None)
    )
    rows = await connection.execute(statement)
    return {row.duplicate_of for row in rows if subject.mark in marks(row.item)}


async def looks_of(engine: AsyncEngine, pictures: Sequence[Picture]) -> list[dict[str, Any]]:
    """Rows of `crawler.fingerprints`, one for each SHA-256; of a picture that was replaced with its bytes alone."""
    columns = ("job", "image_id", "sha256", "codes", "fingerprint", "algorithm", "pixels", "freedom", "credited")
    found = {each.sha256: bare(each.sha256, each) for each in pictures}
    for job in sorted({each.job for each in pictures}):
        for some in _some({each.sha256 for each in pictures if each.job == job}):
            async with transaction(engine) as connection:
                about = (await connection.execute(select(jobs).where(jobs.c.id == job))).one()
                its = fingerprints.c.scope == name_of(Wanted.of(about.options).extent, about)
                statement = select(*fingerprints.c[columns]).where(its, fingerprints.c.sha256.in_(some))
                rows = (await connection.execute(statement)).mappings().all()
            found |= {row["sha256"]: dict(row) for row in rows}
    return list(found.values())


def bare(sha256: str, picture: Picture | None = None) -> dict[str, Any]:
    """A row of `crawler.fingerprints` for bytes that nobody has looked at."""
    about = {"job": picture.job if picture else 0, "image_id": picture.id if picture else 0}
    looks = {"codes": b"", "fingerprint": b"", "algorithm": ALGORITHM}
    return {"sha256": sha256, "pixels": 0, "freedom": 0, "credited": False, **about, **looks}


async def alike(engine: AsyncEngine, tombs: Sequence[dict[str, Any]]) -> list[Picture]:
    """The kept pictures that are copies of these, by their bytes or by their looks."""
    same = await _of_bytes(engine, [tomb["sha256"] for tomb in tombs])
    comparable = [tomb for tomb in tombs if tomb["codes"] and tomb["algorithm"] == ALGORITHM]
    near: set[int] = set()
    if comparable:
        async for rows in _codes(engine):
            near |= await _near(engine, rows, comparable)
    return list({each.id: each for each in (*same, *await _pictures(engine, images.c.id, near))}.values())


async def _codes(engine: AsyncEngine) -> AsyncIterator[Sequence[Any]]:
    """The codes of all kept pictures."""
    key = tuple_(fingerprints.c.scope, fingerprints.c.seq)
    columns = fingerprints.c["scope", "seq", "image_id", "sha256", "codes"]
    wanted = (fingerprints.c.algorithm == ALGORITHM) & (fingerprints.c.codes != b"") & (fingerprints.c.scope != SCOPE)
    after = ("", 0)
    while True:
        statement = select(*columns).where(key > after, wanted)
        async with transaction(engine) as connection:
            rows = (await connection.execute(statement.order_by(key).limit(CODES))).all()
        if rows:
            yield rows
        if len(rows) < CODES:
            return
        after = (rows[-1].scope, rows[-1].seq)


async def _near(engine: AsyncEngine, rows: Sequence[Any], tombs: Sequence[dict[str, Any]]) -> set[int]:
    index = Index()
    index.add([(row.seq, row.sha256, row.codes) for row in rows])
    by_seq = {row.seq: row for row in rows}
    found: set[int] = set()
    for tomb in tombs:
        looks = Looks(tomb["codes"], tomb["fingerprint"])
        for flipped in (False, True):
            proposals = index.near(looks, WANTED.preset, flipped=flipped)
            prints = await _prints(engine, [by_seq[number] for number in proposals.numbers.tolist()])
            found |= {by_seq[match.number].image_id for match in copies(WANTED.preset, looks, proposals, prints)}
    return found


async def _prints(engine: AsyncEngine, rows: Sequence[Any]) -> dict[int, bytes]:
    if not rows:
        return {}
    key = tuple_(fingerprints.c.scope, fingerprints.c.seq)
    statement = select(*fingerprints.c["seq", "fingerprint"]).where(key.in_([(row.scope, row.seq) for row in rows]))
    async with transaction(engine) as connection:
        return {row.seq: row.fingerprint for row in await connection.execute(statement)}


async def _of_bytes(engine: AsyncEngine, digests: Collection[str]) -> list[Picture]:
    return await _pictures(engine, images.c.hash, digests)


async def _pictures(engine: AsyncEngine, column: Any, values: Collection[Any]) -> list[Picture]:
    """Those that have one of these values, of jobs that are ours."""
    found = []
    for some in _some(values):
        statement = select(*images.c["id", "crawl_job_id", "hash"]).join(jobs, jobs.c.id == images.c.crawl_job_id)
        async with transaction(engine) as connection:
            rows = await connection.execute(statement.where(column.in_(some), images.c.hash.is_not(None)))
        found += [Picture(row.id, row.crawl_job_id, row.hash) for row in rows]
    return found


def _some(values: Collection[Any]) -> Iterable[list[Any]]:
    """Values, as many as go into one statement."""
    ordered = sorted(values)
    return (ordered[start : start + ROWS] for start in range(0, len(ordered), ROWS))
