"""Statements on `crawler.candidates`: every image URL a run met, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, FromClause, exists, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db.crawler import candidates, runs
from pixcrawler.db.paging import newest_first
from pixcrawler.db.public import images
from pixcrawler.items import ImageItem
from pixcrawler.jobs import KEPT, NOT_HOLDING, UNFINISHED_RUNS, Funnel, Reason, RunState

UNDONE = NOT_HOLDING - {Reason.DUPLICATE_URL}  # whose picture nobody has judged; of a duplicate, the other one tells

# Those another run of the job has taken conflict with the partial unique index; they are counted by the second
# statement. Those this run met before conflict with the primary key and are left alone by both.
ADD = text("""
INSERT INTO crawler.candidates (run, url_key, job, keyword, item)
SELECT :run, x.key, :job, :keyword, x.item
FROM ROWS FROM (jsonb_to_recordset(CAST(:rows AS jsonb)) AS (key text, item jsonb))
    WITH ORDINALITY AS x(key, item, place)
ORDER BY x.place
ON CONFLICT DO NOTHING
RETURNING url_key
""")
ADD_DUPLICATES = text("""
INSERT INTO crawler.candidates (run, url_key, job, keyword, item, decision, decided_at)
SELECT :run, x.key, :job, :keyword, x.item, 'duplicate_url', now()
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS x(key text, item jsonb)
ON CONFLICT (run, url_key) DO NOTHING
""")
DECIDE = text("""
UPDATE crawler.candidates c
SET decision = x.decision, detail = x.detail, received = x.received, image_id = x.image_id,
    duplicate_of = x.duplicate_of, distance = x.distance, likeness = x.likeness, decided_at = now()
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS x(
    key text, decision text, detail text, received boolean, image_id integer,
    duplicate_of integer, distance smallint, likeness real
)
WHERE c.run = :run AND c.url_key = x.key AND c.decision IS NULL
""")


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of one candidate."""

    key: str
    decision: str  # 'kept' or a Reason
    detail: str
    received: bool
    image_id: int | None = None
    duplicate_of: int | None = None  # the image that is kept instead,
    distance: int | None = None  # in how many bits of 256 their codes differ,
    likeness: float | None = None  # the correlation of the two,
    also_found: dict[str, str] | None = None  # and what it is told of the copy; see `images.sighting`


async def add(connection: AsyncConnection, *, run: int, job: int, keyword: str, items: Sequence[ImageItem]) -> set[str]:
    """Inserts what is new; under the job's lock, so that no two runs wait for each other. Returns the new keys."""
    rows = {item.key: {"key": item.key, "item": item.facts()} for item in items}
    about = {"run": run, "job": job, "keyword": keyword}
    new = set((await connection.scalars(ADD, about | {"rows": json.dumps(list(rows.values()))})).all())
    others = [row for key, row in rows.items() if key not in new]
    if others:
        await connection.execute(ADD_DUPLICATES, about | {"rows": json.dumps(others)})
    return new


async def begin(connection: AsyncConnection, run: int, keys: Sequence[str]) -> None:
    """Marks candidates as in flight."""
    chosen = (candidates.c.run == run) & candidates.c.url_key.in_(keys)
    await connection.execute(update(candidates).where(chosen).values(begun=candidates.c.begun + 1))


async def acquit(connection: AsyncConnection, run: int) -> None:
    """Takes back one flight of what is open: the process ended in order, so none of them has killed it."""
    suspects = (candidates.c.run == run) & candidates.c.decision.is_(None) & (candidates.c.begun > 0)
    await connection.execute(update(candidates).where(suspects).values(begun=candidates.c.begun - 1))


async def open_ones(connection: AsyncConnection, run: int) -> list[Any]:
    """The undecided candidates of a run in the order they were met (url_key, item, begun)."""
    statement = select(*candidates.c["url_key", "item", "begun"]).where(
        candidates.c.run == run, candidates.c.decision.is_(None)
    )
    return list((await connection.execute(statement.order_by(candidates.c.seq))).all())


async def lock(connection: AsyncConnection, run: int, keys: Sequence[str]) -> Mapping[str, str | None]:
    """The decisions so far of these candidates, locked."""
    chosen = (candidates.c.run == run) & candidates.c.url_key.in_(keys)
    statement = select(*candidates.c["url_key", "decision"]).where(chosen).order_by(candidates.c.url_key)
    return {row.url_key: row.decision for row in await connection.execute(statement.with_for_update())}


async def decide(connection: AsyncConnection, run: int, decisions: Sequence[Decision]) -> None:
    """Writes the decisions of candidates that are still open."""
    await connection.execute(DECIDE, {"run": run, "rows": json.dumps([asdict(d) for d in decisions])})


async def decide_open(connection: AsyncConnection, run: int, reason: Reason) -> None:
    """Decides all that is still open in a run."""
    still_open = (candidates.c.run == run) & candidates.c.decision.is_(None)
    values = {"decision": reason, "decided_at": func.now()}
    await connection.execute(update(candidates).where(still_open).values(values))


async def funnel(connection: AsyncConnection, run: int) -> Funnel:
    """The funnel of a run, counted from its rows."""
    statement = select(candidates.c.decision, func.count()).where(candidates.c.run == run)
    return Funnel.of((row[0], row[1]) for row in await connection.execute(statement.group_by(candidates.c.decision)))


async def job_funnel(connection: AsyncConnection, job: int) -> Funnel:
    """The funnel of all runs of a job."""
    statement = select(candidates.c.decision, func.count()).where(candidates.c.job == job)
    return Funnel.of((row[0], row[1]) for row in await connection.execute(statement.group_by(candidates.c.decision)))


async def kept_by_keyword(connection: AsyncConnection, job: int) -> dict[tuple[int, str], int]:
    """How many pictures each (run, keyword) of a job has kept."""
    statement = (
        select(candidates.c.run, candidates.c.keyword, func.count())
        .where(candidates.c.job == job, candidates.c.decision == KEPT)
        .group_by(candidates.c.run, candidates.c.keyword)
    )
    return {(row[0], row[1]): row[2] for row in await connection.execute(statement)}


async def last_decisions(connection: AsyncConnection, run: int, keyword: str, number: int) -> list[str]:
    """The most recent decisions of a keyword in a run, oldest first; addresses known before were not looked at."""
    looked_at = candidates.c.decision != Reason.DUPLICATE_URL
    statement = (
        select(candidates.c.decision)
        .where(candidates.c.run == run, candidates.c.keyword == keyword, looked_at)
        .order_by(candidates.c.seq.desc())
        .limit(number)
    )
    return list((await connection.scalars(statement)).all())[::-1]


def _left_over(job: int, generation: int) -> tuple[ColumnElement[bool], ...]:
    """What ended runs of a job had no room for, and what those of earlier generations left undone.

    Each URL once, and none that another run has taken since.
    """
    other, its_run = candidates.alias(), runs.alias()
    taken = or_(other.c.decision.is_(None), other.c.decision.not_in(NOT_HOLDING))
    met_before = _free(other, its_run, generation) & (other.c.seq < candidates.c.seq)
    elsewhere = exists().where(
        other.c.job == job,
        other.c.url_key == candidates.c.url_key,
        other.c.run != candidates.c.run,
        other.c.run == its_run.c.id,
        or_(taken, met_before),
    )
    return (
        runs.c.job == job,
        runs.c.id == candidates.c.run,
        runs.c.state.not_in(UNFINISHED_RUNS),
        _free(candidates, runs, generation),
        ~elsewhere,
    )


def _free(candidate: FromClause, its_run: FromClause, generation: int) -> ColumnElement[bool]:
    """Whether a run of this generation may take up a candidate again; what failed in it, it does not try twice."""
    undone = candidate.c.decision.in_(UNDONE) & (its_run.c.generation < generation)
    return or_(candidate.c.decision == Reason.OVER_QUOTA, undone)


async def left_over(connection: AsyncConnection, job: int, generation: int) -> dict[tuple[str, str], int]:
    """How many candidates of each (source, keyword) a new run would be handed."""
    statement = select(runs.c.source, candidates.c.keyword, func.count()).where(*_left_over(job, generation))
    rows = await connection.execute(statement.group_by(runs.c.source, candidates.c.keyword))
    return {(row[0], row[1]): row[2] for row in rows}


async def hand_over(
    connection: AsyncConnection, *, job: int, generation: int, source: str, keyword: str, run: int
) -> set[int]:
    """Gives `run` what ended runs of the same source have left over. Returns the runs it came from."""
    reopened = {"decision": None, "detail": None, "decided_at": None, "begun": 0, "received": False}
    statement = (
        update(candidates)
        .where(*_left_over(job, generation), runs.c.source == source, candidates.c.keyword == keyword)
        .values(run=run, **reopened)
        .returning(runs.c.id)
    )
    return set((await connection.scalars(statement)).all())


@dataclass(frozen=True, slots=True)
class Rejected:
    """A picture that was found and not kept."""

    seq: int
    url: str
    source: str
    keyword: str
    page_url: str | None
    title: str | None
    detail: str | None
    duplicate_of: int | None  # the image that is kept instead,
    kept_by: int | None  # and by which job
    likeness: float | None
    decided_at: datetime | None


async def rejected(
    connection: AsyncConnection, job: int, decision: str, after: Sequence[Any] | None, limit: int
) -> list[Rejected]:
    """What a job has not kept for one reason, the latest found first; one more than `limit` if there are."""
    statement = select(
        *candidates.c["seq", "keyword", "detail", "duplicate_of", "likeness", "decided_at"],
        *(candidates.c.item[name].as_string().label(name) for name in ("url", "source", "page_url", "title")),
        images.c.crawl_job_id.label("kept_by"),
    ).outerjoin_from(candidates, images, images.c.id == candidates.c.duplicate_of)
    statement = statement.where(candidates.c.job == job, candidates.c.decision == decision)
    rows = await connection.execute(newest_first(statement, [candidates.c.seq], after, limit))
    return [Rejected(**row._mapping) for row in rows]


def decided_by(state: RunState) -> Reason:
    """The reason of what is still open when a run ends in `state`."""
    return {RunState.CANCELLED: Reason.CANCELLED, RunState.FAILED: Reason.ABANDONED}.get(state, Reason.OVER_QUOTA)
