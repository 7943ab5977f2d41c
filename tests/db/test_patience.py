"""What passes is tried again, what does not is told at once, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pixcrawler.db import engine
from pixcrawler.db.patience import persist, repeat
from pixcrawler.errors import DatabaseUnavailable

T = TypeVar("T")


def with_engine(url: str, work: Callable[[AsyncEngine], Awaitable[T]]) -> T:
    async def run() -> T:
        own = engine.create(url, application_name="test", pool_size=2)
        try:
            return await work(own)
        finally:
            await own.dispose()

    return asyncio.run(run())


class Failing:
    """Fails with an SQLSTATE so many times, after it has written a row; then it writes one for good."""

    def __init__(self, state: str, times: int) -> None:
        self.state, self.times, self.calls = state, times, 0

    async def __call__(self, connection: AsyncConnection) -> int:
        self.calls += 1
        await connection.execute(
            text("INSERT INTO crawler.hosts VALUES (:host, now(), 'x')"), {"host": str(self.calls)}
        )
        if self.calls <= self.times:
            await connection.execute(text(f"DO $$ BEGIN RAISE SQLSTATE '{self.state}'; END $$"))
        return (await connection.execute(text("SELECT count(*) FROM crawler.hosts"))).scalar_one()


@pytest.mark.parametrize("state", ["40001", "40P01", "55P03", "57014"])
def test_what_others_caused_is_tried_again(database_url: str, state: str) -> None:
    book = Failing(state, 2)
    assert with_engine(database_url, lambda own: persist(own, book, 30)) == 1  # nothing of the failed ones is left
    assert book.calls == 3


def test_what_is_wrong_itself_is_not_tried_again(database_url: str) -> None:
    book = Failing("22012", 1)
    with pytest.raises(DBAPIError):
        with_engine(database_url, lambda own: persist(own, book, 30))
    assert book.calls == 1


def test_patience_ends(database_url: str) -> None:
    book = Failing("40P01", 1_000)
    with pytest.raises(DatabaseUnavailable) as raised:
        with_engine(database_url, lambda own: persist(own, book, 0.2))
    assert "\n" not in str(raised.value)
    assert book.calls > 1


def test_a_loop_goes_on_when_the_database_is_back() -> None:
    told: list[str] = []

    async def run() -> None:
        stop = asyncio.Event()

        async def step() -> bool:
            told.append("step")
            if len(told) == 2:
                raise DatabaseUnavailable("away")
            if len(told) == 4:
                stop.set()
            return len(told) == 1  # more to do: no pause

        await repeat(step, stop, 0.01)

    asyncio.run(run())
    assert told == ["step"] * 4


def test_a_loop_outlives_what_others_caused(database_url: str) -> None:
    book = Failing("40001", 2)

    async def work(own: AsyncEngine) -> None:
        stop = asyncio.Event()

        async def step() -> bool:
            async with engine.transaction(own) as connection:
                await book(connection)
            stop.set()
            return False

        await repeat(step, stop, 0.01)

    with_engine(database_url, work)
    assert book.calls == 3


def test_a_loop_ends_with_what_is_wrong_itself(database_url: str) -> None:
    async def work(own: AsyncEngine) -> None:
        async def step() -> bool:
            async with engine.transaction(own) as connection:
                await Failing("22012", 1)(connection)
            return False

        await repeat(step, asyncio.Event(), 0.01)

    with pytest.raises(DBAPIError):
        with_engine(database_url, work)
