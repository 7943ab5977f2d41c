"""Where attempts go, with several dispatchers, few slots and nodes that fail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from worlds import Node, World, crawling, ledger, serving

from pixcrawler.config import Config
from pixcrawler.db.ledger import PostgresLedger
from pixcrawler.dispatcher import Dispatcher, nodes
from pixcrawler.jobs import AttemptState, Outcome

PATIENCE = 30  # seconds


@contextmanager
def another(world: World) -> Iterator[Node]:
    """A second node, the first to be given work."""
    with serving(Node()) as node:
        settings = world.settings
        world.settings = settings.model_copy(update={"scrapyd_nodes": (f"{node.url}#4", *settings.scrapyd_nodes)})
        yield node


async def until(dispatcher: Dispatcher, what: Callable[[], Any]) -> None:
    """Ticks until something is true."""
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline
        await dispatcher.tick()
        await asyncio.sleep(0.02)


def hurried(settings: Config) -> dict[str, float]:
    """Clocks that make a test short."""
    return {"dispatch_seconds": 0.5, "projection_seconds": 0.05, "poll_seconds": 0.05}


def test_an_attempt_is_claimed_once(world):
    world.insert(["cat"])
    world.tick()

    async def twice(book: PostgresLedger) -> tuple[bool, bool]:
        async with ledger(world.settings, "1-1") as other:
            return await book.open() is not None, await other.open() is not None

    assert world.crawl("1-1", twice) == (True, False)


def test_two_dispatchers_start_every_run_once(world):
    for _ in range(30):
        world.insert(["cat"])

    async def together() -> None:
        await asyncio.gather(*(world._tick(3, world.settings) for _ in range(2)))

    settings = world.settings
    world.settings = settings.model_copy(update={"scrapyd_nodes": (f"{world.node.url}#100",)})
    asyncio.run(together())
    world.tick(2)
    assert len(world.node.scheduled) == 30
    assert len(set(world.node.scheduled)) == 30
    assert world.sql("SELECT count(*) FROM crawler.attempts") == [(30,)]


def test_only_free_slots_are_used(world):
    for _ in range(10):
        world.insert(["cat"])
    world.tick(3)
    assert len(world.node.scheduled) == 4


def test_a_node_that_is_down_costs_no_attempt(world):
    world.insert(["cat"])
    world.tick(12, scrapyd_nodes=("http://127.0.0.1:9#1",))
    assert world.node.scheduled == []
    world.tick(2)
    assert world.node.scheduled == ["1-13"]


def test_a_node_that_refuses_fails_the_run_after_three(world):
    job = world.insert(["cat"])
    world.node.refusal = "spider 'openverse' not found"
    world.tick(8)
    assert world.job(job)["status"] == "failed"
    assert "spider 'openverse' not found" in world.notices()[0][2]


def test_an_answer_that_gets_lost_starts_nothing_twice(world):
    job = world.insert(["cat"], 5)
    world.node.loses = "answer"
    world.tick()
    world.node.loses = None
    world.tick()
    world.crawl("1-1", crawling(5))
    world.tick(2)
    assert world.node.scheduled == ["1-1"]
    assert world.state(job)[:3] == ("exporting", 5, "full")


def test_a_request_that_gets_lost_is_posted_again(world):
    world.insert(["cat"])
    world.node.loses = "request"
    world.tick()
    world.node.loses = None
    world.tick()
    assert world.node.scheduled == []  # whether it has arrived is not known before its time is up
    world.sql("UPDATE crawler.attempts SET lease_until = now() - interval '1 second'")
    world.tick()
    assert world.node.scheduled == ["1-1"]


def test_a_run_its_node_forgets_goes_out_anew(world):
    world.insert(["cat"])
    world.tick()
    world.node.states.clear()  # restarted, and its queue is gone
    world.sql("UPDATE crawler.attempts SET lease_until = now() - interval '1 second'")
    world.tick(2)
    assert world.node.scheduled == ["1-1", "1-2"]
    assert world.sql("SELECT state FROM crawler.attempts ORDER BY attempt") == [("undelivered",), ("dispatched",)]


def test_a_repeated_post_is_welcome_where_the_job_is_known(world):
    world.insert(["cat"])
    world.node.loses = "request"
    world.tick()
    world.node.loses = None
    world.node.conflicts = True
    world.sql("UPDATE crawler.attempts SET lease_until = now() - interval '1 second'")
    world.tick()
    assert world.sql("SELECT state FROM crawler.attempts") == [("dispatched",)]


def test_an_unanswered_post_is_booked_once_the_node_says_it_has_it(world):
    world.insert(["cat"])
    world.node.loses = "answer"
    world.tick()
    world.node.loses = None
    world.sql("UPDATE crawler.attempts SET lease_until = now() - interval '1 second'")
    world.tick()
    assert world.node.scheduled == ["1-1"]
    assert world.sql("SELECT state, lease_until > now() FROM crawler.attempts") == [("dispatched", True)]


def test_work_moves_away_from_a_node_that_never_answers(world, monkeypatch):
    monkeypatch.setattr("pixcrawler.dispatcher.scrapyd.TIMEOUT_SECONDS", 0.3)
    world.insert(["cat"])

    async def story(dispatcher: Dispatcher) -> None:
        await until(dispatcher, lambda: world.node.scheduled)
        world.insert(["dog"])  # while the first node is out, nothing waits for it
        await until(dispatcher, lambda: len(world.node.scheduled) == 2)

    with another(world) as silent:
        silent.hangs = True
        world.run(story, **hurried(world.settings))
    assert world.node.scheduled == ["1-2", "2-1"]
    assert world.sql("SELECT state, reason FROM crawler.attempts WHERE attempt = 1 AND run = 1") == [
        ("undelivered", "the node does not answer")
    ]


def test_a_silent_node_holds_up_no_tick(world):
    world.insert(["cat"])

    async def story(dispatcher: Dispatcher) -> float:
        await dispatcher.tick()
        assert silent.asked.wait(PATIENCE)
        started = time.monotonic()
        for _ in range(3):
            await dispatcher.tick()
        spent = time.monotonic() - started
        silent.ended.set()
        return spent

    with another(world) as silent:
        silent.hangs = True
        # Three ticks wait a glance or two each; one that waited for the node would take its time-out.
        assert world.run(story) < nodes.GLANCE_SECONDS * 6 + 1.5


def test_work_moves_away_from_a_wedged_node(world):
    world.insert(["cat"])
    with another(world) as wedged:
        wedged.starts = "pending"
        world.run(lambda d: until(d, lambda: world.node.scheduled), **hurried(world.settings))
    assert wedged.cancelled == [("1-1", "INT")]  # taken out of its queue
    assert world.node.scheduled == ["1-2"]


def test_a_process_that_never_begins_is_killed(world):
    world.insert(["cat"])
    world.run(lambda d: until(d, lambda: len(world.node.scheduled) == 2), **hurried(world.settings))
    assert world.node.cancelled[0] == ("1-1", "KILL")
    assert world.sql("SELECT state, reason FROM crawler.attempts WHERE attempt = 1") == [
        ("lost", "the crawl process did not begin")
    ]


def test_a_node_that_failed_gets_one_attempt_until_that_has_begun(world, monkeypatch):
    monkeypatch.setattr(nodes, "REST_SECONDS", 0.05)
    monkeypatch.setattr(nodes, "LONGEST_REST_SECONDS", 0.1)
    for _ in range(3):
        world.insert(["cat"])
    world.node.stopping = True

    async def story(dispatcher: Dispatcher) -> None:
        await until(dispatcher, lambda: world.node.asked.is_set())
        await dispatcher.tick()
        world.node.stopping = False
        await until(dispatcher, lambda: len(world.node.scheduled) >= 1)
        for _ in range(20):
            await dispatcher.tick()
        assert len(world.node.scheduled) == 1
        name = world.node.scheduled[0]
        async with ledger(world.settings, name) as book:
            await book.open()
            await until(dispatcher, lambda: len(world.node.scheduled) == 3)
            await book.close(Outcome(AttemptState.SHORT, "had no more"))

    world.run(story, **hurried(world.settings) | {"dispatch_seconds": 20})
    assert world.sql("SELECT state FROM crawler.attempts WHERE attempt = 1 AND run > 1")[0] == ("undelivered",)


def test_a_node_whose_answers_get_lost_is_trusted_for_what_it_does(world):
    """Its first attempt has begun although nobody heard of it: no rest, no trial."""
    world.insert(["cat"])
    world.node.loses = "answer"

    async def story(dispatcher: Dispatcher) -> None:
        await until(dispatcher, lambda: world.node.scheduled)
        await dispatcher.tick()
        world.node.loses = None
        async with ledger(world.settings, "1-1") as book:
            await book.open()
            for _ in range(3):
                world.insert(["cat"])
            await dispatcher.tick()
            await dispatcher.tick()
            assert len(world.node.scheduled) == 4
            await book.close(Outcome(AttemptState.SHORT, "had no more"))

    world.run(story, projection_seconds=0.01)


def test_a_node_taken_out_of_the_configuration_ends_its_work(world):
    world.insert(["cat"], 5)
    world.tick()
    with serving(Node()) as other:
        world.tick(3, scrapyd_nodes=(f"{other.url}#4",))
        assert other.scheduled == []
        world.crawl("1-1", crawling(5))
        world.tick(2, scrapyd_nodes=(f"{other.url}#4",))
    assert world.state(1)[:3] == ("exporting", 5, "full")


def test_a_wrong_password_is_said_plainly(world, caplog):
    world.insert(["cat"])
    world.node.unauthorised = True
    world.tick()
    assert "refused our user name or password" in caplog.text


def test_load_is_even(world):
    for _ in range(6):
        world.insert(["cat"])
    with another(world) as other:
        world.tick(2)
        assert len(other.scheduled) == len(world.node.scheduled) == 3


@pytest.mark.parametrize("known", ["pending", "running"])
def test_what_has_not_begun_is_cancelled_at_once(world, known):
    job = world.insert(["cat"])
    world.tick()
    world.node.states["1-1"] = known
    world.sql("UPDATE public.crawl_jobs SET status = 'cancelled'")
    world.tick(2)
    assert world.job(job)["status"] == "cancelled"
    assert world.state(job)[0] == "cancelled"
    assert ("1-1", "INT") in world.node.cancelled
    assert world.crawl("1-1", crawling(3)) is None
