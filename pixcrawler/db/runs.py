"""Statements on `crawler.runs`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import func, insert, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db.crawler import attempts, jobs, runs
from pixcrawler.jobs import ACTIVE_ATTEMPTS, UNFINISHED_RUNS, Funnel, JobState, RunState, Slice, Spent

clock = func.clock_timestamp()

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


async def due(connection: AsyncConnection, limit: int) -> list[Any]:
    """Runs of crawling jobs that want an attempt now (run, job), jobs with fewest active attempts first."""
    active = (
        select(func.count())
        .where(attempts.c.job == jobs.c.id, attempts.c.state.in_(ACTIVE_ATTEMPTS))
        .correlate(jobs)
        .scalar_subquery()
    )
    statement = (
        select(runs.c.id.label("run"), runs.c.job)
        .join(jobs, jobs.c.id == runs.c.job)
        .where(
            jobs.c.state == JobState.CRAWLING,
            runs.c.state.in_([RunState.PENDING, RunState.DEFERRED]),
            or_(runs.c.not_before.is_(None), runs.c.not_before <= func.now()),
        )
        .order_by(active, runs.c.id)
        .limit(limit)
    )
    return list((await connection.execute(statement)).all())


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
