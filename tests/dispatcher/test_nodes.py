"""Where attempts go, with several dispatchers, few slots and nodes that fail."""

from __future__ import annotations

import asyncio

from worlds import crawling, ledger

from pixcrawler.db.ledger import PostgresLedger


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
