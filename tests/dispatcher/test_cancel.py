"""Cancelling: in every state, by whatever process, and only once."""

from __future__ import annotations

from typing import Any

import pytest
from worlds import bring, crawling, pictures

from pixcrawler.db.ledger import PostgresLedger
from pixcrawler.dispatcher import Dispatcher
from pixcrawler.jobs import AttemptState, Outcome, Reason


def test_cancelled_before_it_starts(world):
    job = world.insert(["cat"])
    world.tick()
    world.sql("UPDATE public.crawl_jobs SET status = 'cancelled' WHERE id = %s", (job,))
    world.tick()
    assert world.crawl("1-1", crawling(5)) is None  # the process starts too late
    world.tick(2)
    assert world.job(job)["status"] == "cancelled"
    assert world.sql("SELECT count(*) FROM public.images") == [(0,)]


def test_cancelled_while_it_runs(world):
    job = world.insert(["cat"])
    world.tick()

    async def play(book: PostgresLedger) -> tuple[list[Any], bool, Any]:
        await book.open()
        first = await bring(book, pictures(1, 2), None)
        world.sql("UPDATE public.crawl_jobs SET status = 'cancelled' WHERE id = %s", (job,))
        await world._tick(1, world.settings)
        later = await book.add_page("cat", pictures(3, 4), 3, None)
        wanted = await book.beat()
        await book.close(Outcome(AttemptState.CANCELLED, "cancelled"))
        return first, wanted, later

    assert world.crawl("1-1", play) == ([None, None], False, [])
    assert world.node.cancelled == [("1-1", "INT")]
    world.tick(2)
    assert world.job(job)["status"] == "cancelled"
    assert world.state(job)[1] == 2


def test_a_process_that_hears_of_the_end_by_writing_is_cancelled_too(world):
    job = world.insert(["cat"])
    world.tick()

    async def play(book: PostgresLedger) -> int:
        await book.open()
        await bring(book, pictures(1, 2), None)
        world.sql("UPDATE public.crawl_jobs SET status = 'cancelled' WHERE id = %s", (job,))
        await world._tick(1, world.settings)
        await book.add_page("cat", pictures(3, 4), 3, None)
        missing = book.missing("cat")
        await book.close(Outcome(AttemptState.SUCCEEDED))
        return missing

    assert world.crawl("1-1", play) == 0
    assert world.sql("SELECT state FROM crawler.runs") == [("cancelled",)]


def test_a_process_that_ignores_int_is_killed(world):
    job = world.insert(["cat"])
    world.tick()

    async def play(book: PostgresLedger) -> None:
        await book.open()
        world.sql("UPDATE public.crawl_jobs SET status = 'cancelled' WHERE id = %s", (job,))
        await world._tick(2, world.settings.model_copy(update={"cancel_seconds": 0.0001}))

    world.crawl("1-1", play)
    assert world.node.cancelled == [("1-1", "INT"), ("1-1", "KILL")]
    world.tick(2)
    assert world.job(job)["status"] == "cancelled"


def test_the_owner_may_delete_the_row(world):
    job = world.insert(["cat"])
    world.tick()

    async def play(book: PostgresLedger) -> list[Any]:
        await book.open()
        world.sql("DELETE FROM public.crawl_jobs WHERE id = %s", (job,))
        results = await bring(book, pictures(1, 2), None)
        await book.close(Outcome(AttemptState.CANCELLED))
        return results

    assert world.crawl("1-1", play) == [Reason.CANCELLED, Reason.CANCELLED]
    world.tick(2)
    assert world.state(job)[0] == "cancelled"


def test_a_wish_that_comes_between_look_and_projection_is_not_overwritten(world):
    job = world.insert(["cat"])
    world.tick()

    async def story(dispatcher: Dispatcher) -> str:
        world.sql("UPDATE public.crawl_jobs SET status = 'cancelled' WHERE id = %s", (job,))
        await dispatcher._project_all()
        return str(world.job(job)["status"])

    assert world.run(story) == "cancelled"


def test_the_owner_may_be_faster_than_the_end(world):
    job = world.insert(["cat"], 5)
    world.tick()
    world.crawl("1-1", crawling(5))
    world.tick(2)
    world.sql("UPDATE crawler.exports SET state = 'done', key = 'k', size = 1, sha256 = 's'")

    async def story(dispatcher: Dispatcher) -> None:
        world.sql("UPDATE public.crawl_jobs SET status = 'cancelled' WHERE id = %s", (job,))
        await dispatcher._ender.end_jobs()
        await dispatcher._ender.end_jobs()

    world.run(story)
    assert world.state(job)[0] == world.job(job)["status"] == "cancelled"
    assert [kind for kind, *_ in world.notices()] == ["info"]


@pytest.mark.parametrize("written", ["pending", "running", "cancelled"])
def test_what_has_ended_stays_as_it_ended(world, written):
    job = world.insert([])  # fails at once
    other = world.insert([])
    world.tick()
    world.sql("UPDATE public.crawl_jobs SET status = %s WHERE id = %s", (written, job))
    world.sql("UPDATE public.crawl_jobs SET status = 'archived' WHERE id = %s", (other,))
    world.tick()
    assert world.job(job)["status"] == "failed"
    assert world.job(other)["status"] == "archived"  # the front end's own business
    assert len(world.notices()) == 2
