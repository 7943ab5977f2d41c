"""Statements on `crawler.attempts`."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, case, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db.crawler import attempts, runs
from pixcrawler.jobs import ACTIVE_ATTEMPTS, UNBEGUN_ATTEMPTS, AttemptState


def in_seconds(seconds: float) -> ColumnElement[Any]:
    """A moment from now on, by the database's clock."""
    return func.now() + timedelta(seconds=seconds)


def _is(run: int, attempt: int) -> ColumnElement[bool]:
    return (attempts.c.run == run) & (attempts.c.attempt == attempt)


async def create(connection: AsyncConnection, *, job: int, run: int, node: str, lease_seconds: float) -> int:
    """A dispatching attempt, the next of its run. Returns its number."""
    last = select(func.coalesce(func.max(attempts.c.attempt), 0)).where(attempts.c.run == run)
    number: int = (await connection.execute(last)).scalar_one() + 1
    row = {"job": job, "run": run, "attempt": number, "node": node, "state": AttemptState.DISPATCHING}
    await connection.execute(insert(attempts).values(row | {"lease_until": in_seconds(lease_seconds)}))
    return number


async def get(connection: AsyncConnection, run: int, attempt: int) -> Any:
    """The whole row."""
    return (await connection.execute(select(attempts).where(_is(run, attempt)))).one_or_none()


async def lock(connection: AsyncConnection, run: int, attempt: int, *, read: bool = False) -> Any:
    """The whole row and `lapsed`, locked (against changes only, with `read`) until the end of the transaction."""
    lapsed = (attempts.c.lease_until <= func.now()).label("lapsed")
    statement = select(attempts, lapsed).where(_is(run, attempt)).with_for_update(read=read)
    return (await connection.execute(statement)).one_or_none()


async def active(connection: AsyncConnection, job: int | None = None) -> list[Any]:
    """Active attempts with `lapsed`, `source`, `age` and `cancel_age` (seconds; since INT was sent), oldest first."""
    statement = (
        select(
            attempts,
            runs.c.source,
            (attempts.c.lease_until <= func.now()).label("lapsed"),
            func.extract("epoch", func.now() - attempts.c.created_at).label("age"),
            func.extract("epoch", func.now() - attempts.c.cancel_sent_at).label("cancel_age"),
        )
        .join(runs, runs.c.id == attempts.c.run)
        .where(attempts.c.state.in_(ACTIVE_ATTEMPTS))
        .order_by(attempts.c.run)
    )
    if job is not None:
        statement = statement.where(attempts.c.job == job)
    return list((await connection.execute(statement)).all())


async def ended(connection: AsyncConnection, run: int) -> list[Any]:
    """The attempts of a run that ended, newest first."""
    statement = select(attempts).where(attempts.c.run == run, attempts.c.state.not_in(ACTIVE_ATTEMPTS))
    return list((await connection.execute(statement.order_by(attempts.c.attempt.desc()))).all())


async def delivered(connection: AsyncConnection, run: int, attempt: int, *, log: str, lease_seconds: float) -> None:
    """Marks that the node has the attempt, and gives it time to begin; the process may have claimed it already."""
    begun = attempts.c.state.not_in(UNBEGUN_ATTEMPTS)
    values = {
        "state": case((begun, attempts.c.state), else_=AttemptState.DISPATCHED),
        "lease_until": case((begun, attempts.c.lease_until), else_=in_seconds(lease_seconds)),
        "log": log,
    }
    await connection.execute(update(attempts).where(_is(run, attempt)).values(values))


async def start(connection: AsyncConnection, run: int, attempt: int, lease_seconds: float) -> None:
    """Marks that the crawl process has claimed the attempt."""
    values = {
        "state": AttemptState.RUNNING,
        "started_at": func.now(),
        "heartbeat_at": func.now(),
        "lease_until": in_seconds(lease_seconds),
    }
    await connection.execute(update(attempts).where(_is(run, attempt)).values(values))


async def renew(connection: AsyncConnection, run: int, attempt: int, lease_seconds: float) -> bool:
    """Renews a running attempt's lease. False: it is not running any more, or the lease is over."""
    alive = (attempts.c.state == AttemptState.RUNNING) & (attempts.c.lease_until > func.now())
    values = {"heartbeat_at": func.now(), "lease_until": in_seconds(lease_seconds)}
    statement = update(attempts).where(_is(run, attempt), alive).values(values).returning(attempts.c.run)
    return (await connection.scalar(statement)) is not None


async def count_decided(connection: AsyncConnection, run: int, attempt: int, number: int) -> None:
    """Adds to the candidates the attempt has decided."""
    values = {"decided": attempts.c.decided + number}
    await connection.execute(update(attempts).where(_is(run, attempt)).values(values))


async def cancel_sent(connection: AsyncConnection, run: int, attempt: int) -> None:
    """Remembers when INT was sent."""
    await connection.execute(update(attempts).where(_is(run, attempt)).values(cancel_sent_at=func.now()))


async def end(
    connection: AsyncConnection,
    run: int,
    attempt: int,
    state: AttemptState,
    reason: str,
    *,
    among: Collection[AttemptState] = ACTIVE_ATTEMPTS,
) -> bool:
    """Ends an attempt that is in one of the states `among`. False: it is not (any more)."""
    values = {"state": state, "reason": reason or None, "ended_at": func.clock_timestamp()}
    as_expected = attempts.c.state.in_(among)
    statement = update(attempts).where(_is(run, attempt), as_expected).values(values).returning(attempts.c.run)
    return (await connection.scalar(statement)) is not None
