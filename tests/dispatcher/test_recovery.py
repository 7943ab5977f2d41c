"""What follows when a crawl process dies, stops, sleeps or gives up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from worlds import bring, pictures, stored

from pixcrawler.db.ledger import PostgresLedger
from pixcrawler.errors import LeaseLost
from pixcrawler.jobs import AttemptState, Outcome


def test_a_dead_process_is_followed_and_decides_nothing_twice(world):
    job = world.insert(["cat"], 10)
    world.tick()

    async def dies(book: PostgresLedger) -> None:
        await book.open()
        await bring(book, pictures(1, 2, 3), None)
        todo = await book.add_page("cat", pictures(3, 4, 5, 6), 3, None)
        await book.begin(todo[:1])  # number 4 is in flight when it dies

    world.crawl("1-1", dies)
    world.tick(2)
    assert world.node.scheduled == ["1-1", "1-2"]

    async def goes_on(book: PostgresLedger) -> tuple[list[str], list[str], Any]:
        run = await book.open()
        suspects, others = await book.open_candidates()
        cursor = run.slices["cat"].cursor
        await book.begin(suspects + others)
        await asyncio.gather(*(book.keep(stored(item)) for item in suspects + others))
        await book.close(Outcome(AttemptState.SHORT, "had no more"))
        return [item.title for item in suspects], [item.title for item in others], cursor

    assert world.crawl("1-2", goes_on) == (["No 4"], ["No 5", "No 6"], 3)
    assert world.decisions(job) == {"kept": 6}
    assert world.sql("SELECT count(*) FROM public.images") == [(6,)]


def test_a_url_in_flight_at_two_deaths_is_crashed(world):
    job = world.insert(["cat"], 10)
    world.tick()

    async def dies(book: PostgresLedger) -> None:
        await book.open()
        suspects, others = await book.open_candidates()
        todo = suspects or others or await book.add_page("cat", pictures(1), 2, None)
        await book.begin(todo)

    for attempt in ("1-1", "1-2"):
        world.crawl(attempt, dies)
        world.tick(2)

    async def goes_on(book: PostgresLedger) -> Any:
        await book.open()
        left = await book.open_candidates()
        await book.close(Outcome(AttemptState.SHORT, "had no more"))
        return left

    assert world.crawl("1-3", goes_on) == ([], [])
    assert world.decisions(job) == {"crashed": 1}


def test_a_stop_in_order_makes_nobody_a_suspect(world):
    world.insert(["cat"], 10)
    world.tick()

    async def stops(book: PostgresLedger) -> None:
        await book.open()
        suspects, others = await book.open_candidates()
        assert suspects == []
        todo = others or await book.add_page("cat", pictures(1, 2), 2, None)
        await book.begin(todo)
        await book.close(Outcome(AttemptState.LOST, "interrupted"))

    for attempt in ("1-1", "1-2", "1-3"):
        world.crawl(attempt, stops)
        world.tick(2)
    assert world.sql("SELECT begun, decision FROM crawler.candidates") == [(0, "abandoned")] * 2


def test_three_useless_attempts_fail_the_run(world):
    job = world.insert(["cat"])
    world.tick()

    async def gives_up(book: PostgresLedger) -> None:
        await book.open()
        await book.close(Outcome(AttemptState.LOST, "openverse did not answer"))

    for number in (1, 2, 3):
        world.crawl(f"1-{number}", gives_up)
        world.tick(2)
    assert world.node.scheduled == ["1-1", "1-2", "1-3"]
    assert world.job(job)["status"] == "failed"
    assert "openverse did not answer (3 attempts)" in world.notices()[0][2]


def test_a_deferred_run_waits_and_comes_back(world):
    world.insert(["cat"])
    world.tick()

    async def later(book: PostgresLedger) -> None:
        await book.open()
        await book.close(Outcome(AttemptState.DEFERRED, "asked for a pause", later_seconds=3600))

    world.crawl("1-1", later)
    world.tick(2)
    assert world.node.scheduled == ["1-1"]
    world.sql("UPDATE crawler.runs SET not_before = now()")
    world.tick()
    assert world.node.scheduled == ["1-1", "1-2"]


def test_a_zombie_writes_nothing(world):
    job = world.insert(["cat"])
    world.tick()

    async def sleeps(book: PostgresLedger) -> None:
        await book.open()
        todo = await book.add_page("cat", pictures(1), 2, None)
        await book.begin(todo)
        world.sql("UPDATE crawler.attempts SET lease_until = now() - interval '1 second'")
        await world._tick(2, world.settings)
        with pytest.raises(LeaseLost):
            await book.keep(stored(todo[0]))
        assert not book.may_write
        with pytest.raises(LeaseLost):
            await book.beat()
        with pytest.raises(LeaseLost):
            await book.close(Outcome(AttemptState.SUCCEEDED))

    world.crawl("1-1", sleeps)
    assert world.decisions(job) == {"open": 1}
    assert world.node.scheduled == ["1-1", "1-2"]
