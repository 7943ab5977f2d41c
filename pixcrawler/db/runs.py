"""Statements on `crawler.runs`."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from datetime import timedelta
from heapq import heapify, heappop, heappush
from typing import Any

from sqlalchemy import Float, Text, cast, func, insert, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db.crawler import attempts, jobs, runs
from pixcrawler.jobs import ACTIVE_ATTEMPTS, UNFINISHED_RUNS, AttemptState, Funnel, JobState, RunState, Slice, Spent

clock = func.clock_timestamp()

OWNER = func.coalesce(cast(jobs.c.owner, Text), cast(jobs.c.id, Text))  # a job without one stands for itself
LONG_AGO = timedelta(hours=1)  # who has waited for longer is as good as new

SET_CURSOR = text("""
UPDATE crawler.runs
SET slices = jsonb_set(slices, ARRAY[:keyword], (slices->:keyword) || CAST(:changes AS jsonb))
WHERE id = :run
""")


def slices_to_json(slices: Mapping[str, Slice]) -> dict[str, Any]:
    """As stored in `runs.slices`."""
    return {word: {"quota": s.quota, "cursor": s.cursor, "spent": s.spent} for word, s in slices.items()}


def slices_from_json(stored: Mapping[str, Any]) -> dict[str, Slice]:
    """As read from `runs.slices`."""
    return {
        word: Slice(s["quota"], s["cursor"], Spent(s["spent"]) if s["spent"] else None) for word, s in stored.items()
    }


async def create(
    connection: AsyncConnection, *, job: int, generation: int, source: str, slices: Mapping[str, Slice]
) -> int:
    """A pending run. Returns its id."""
    row = {
        "job": job,
        "generation": generation,
        "source": source,
        "slices": slices_to_json(slices),
        "state": RunState.PENDING,
    }
    run: int = (await connection.execute(insert(runs).values(row).returning(runs.c.id))).scalar_one()
    return run


async def of_job(connection: AsyncConnection, job: int) -> list[Any]:
    """All runs of a job, oldest first."""
    return list((await connection.execute(select(runs).where(runs.c.job == job).order_by(runs.c.id))).all())


async def lock(connection: AsyncConnection, run: int) -> Any:
    """The whole row, locked until the end of the transaction."""
    return (await connection.execute(select(runs).where(runs.c.id == run).with_for_update())).one()


async def due(connection: AsyncConnection, limit: int, source_limits: Mapping[str, int]) -> list[Any]:
    """At most `limit` runs (run, job, source, owner) that are to have an attempt now, in this order; see `fairly`."""
    if limit < 1:
        return []
    queue = func.row_number().over(partition_by=[OWNER, runs.c.source], order_by=runs.c.id)
    waiting = (
        select(runs.c.id.label("run"), runs.c.job, runs.c.source, OWNER.label("owner"), queue.label("place"))
        .join(jobs, jobs.c.id == runs.c.job)
        .where(
            jobs.c.state == JobState.CRAWLING,
            runs.c.state.in_([RunState.PENDING, RunState.DEFERRED]),
            or_(runs.c.not_before.is_(None), runs.c.not_before <= func.now()),
            or_(jobs.c.sweep_until.is_(None), jobs.c.sweep_until <= func.now()),
        )
        .subquery("waiting")
    )
    eligible = select(*waiting.c["run", "job", "source", "owner"]).where(waiting.c.place <= limit)
    rows = (await connection.execute(eligible.order_by(waiting.c.run))).all()
    if not rows:
        return []
    return fairly(rows, await _at_work(connection), await _last_turns(connection), source_limits)[:limit]


def fairly(
    waiting: Sequence[Any], at_work: Sequence[Any], last_turns: Mapping[str, float], source_limits: Mapping[str, int]
) -> list[Any]:
    """Those `waiting` (run, source, owner; oldest first) that may run beside those `at_work`, in the order of turns.

    Each turn is that of the owner with fewest runs at work or chosen; of several, of the one whose last turn ended
    first, so that with few slots nobody waits for more than one run of another; and then of the oldest run.
    """
    of_owner = Counter(row.owner for row in at_work)
    of_source = Counter(row.source for row in at_work)
    queues: dict[str, deque[Any]] = {}
    for row in waiting:
        queues.setdefault(row.owner, deque()).append(row)

    def turn(owner: str) -> tuple[int, float, int, str]:
        return of_owner[owner], last_turns.get(owner, 0), queues[owner][0].run, owner

    turns = [turn(owner) for owner in queues]
    heapify(turns)
    chosen = []
    while turns:
        owner = heappop(turns)[-1]
        row = queues[owner].popleft()
        if of_source[row.source] < source_limits.get(row.source, math.inf):
            chosen.append(row)
            of_owner[owner] += 1
            of_source[row.source] += 1
        if queues[owner]:
            heappush(turns, turn(owner))
    return chosen


async def _at_work(connection: AsyncConnection) -> list[Any]:
    """The owner and source of every active attempt."""
    statement = (
        select(OWNER.label("owner"), runs.c.source)
        .select_from(attempts)
        .join(runs, runs.c.id == attempts.c.run)
        .join(jobs, jobs.c.id == runs.c.job)
        .where(attempts.c.state.in_(ACTIVE_ATTEMPTS))
    )
    return list((await connection.execute(statement)).all())


async def _last_turns(connection: AsyncConnection) -> dict[str, float]:
    """When, in seconds of the epoch, the last attempt of each owner ended that a node had."""
    ended = func.extract("epoch", func.max(attempts.c.ended_at))
    statement = (
        select(OWNER.label("owner"), cast(ended, Float).label("seconds"))
        .select_from(attempts)
        .join(jobs, jobs.c.id == attempts.c.job)
        .where(attempts.c.ended_at > func.now() - LONG_AGO, attempts.c.state != AttemptState.UNDELIVERED)
        .group_by(OWNER)
    )
    return {row.owner: row.seconds for row in await connection.execute(statement)}


async def at_work(connection: AsyncConnection, source: str) -> int:
    """How many attempts of a source are active."""
    statement = (
        select(func.count())
        .select_from(attempts)
        .join(runs, runs.c.id == attempts.c.run)
        .where(attempts.c.state.in_(ACTIVE_ATTEMPTS), runs.c.source == source)
    )
    return (await connection.execute(statement)).scalar_one()


async def unattended(connection: AsyncConnection) -> list[Any]:
    """Runs that count as running and have no active attempt (run, job)."""
    has_active = select(attempts.c.run).where(attempts.c.run == runs.c.id, attempts.c.state.in_(ACTIVE_ATTEMPTS))
    statement = (
        select(runs.c.id.label("run"), runs.c.job)
        .where(runs.c.state == RunState.RUNNING, ~has_active.exists())
        .order_by(runs.c.id)
    )
    return list((await connection.execute(statement)).all())


async def unfinished(connection: AsyncConnection, job: int) -> list[Any]:
    """The runs of a job that have not ended, locked, in order."""
    statement = select(runs).where(runs.c.job == job, runs.c.state.in_(UNFINISHED_RUNS)).order_by(runs.c.id)
    return list((await connection.execute(statement.with_for_update())).all())


async def attend(connection: AsyncConnection, run: int) -> None:
    """Marks that the run has an active attempt."""
    await connection.execute(update(runs).where(runs.c.id == run).values(state=RunState.RUNNING, not_before=None))


async def wait(connection: AsyncConnection, run: int, state: RunState, seconds: float) -> None:
    """Puts the run back (`PENDING` or `DEFERRED`) for at least `seconds`."""
    later = func.now() + timedelta(seconds=seconds)
    await connection.execute(update(runs).where(runs.c.id == run).values(state=state, not_before=later))


async def finish(connection: AsyncConnection, run: int, state: RunState, outcome: str, funnel: Funnel) -> None:
    """Ends the run with its final funnel."""
    values = {"state": state, "outcome": outcome or None, "funnel": funnel.to_json(), "ended_at": clock}
    await connection.execute(update(runs).where(runs.c.id == run).values(values))


async def recount(connection: AsyncConnection, run: int, funnel: Funnel) -> None:
    """Corrects the funnel of an ended run some of whose candidates went over to another one."""
    await connection.execute(update(runs).where(runs.c.id == run).values(funnel=funnel.to_json()))


async def set_cursor(connection: AsyncConnection, run: int, keyword: str, changes: str) -> None:
    """Merges `changes` (a JSON object) into the keyword's slice."""
    await connection.execute(SET_CURSOR, {"run": run, "keyword": keyword, "changes": changes})
