"""Who is next: owners with few jobs, owners with many, and sources that bear only so much."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import Owner, crawling

from pixcrawler.config import Config
from pixcrawler.db import crawl_jobs, engine, locks, runs
from pixcrawler.db.runs import fairly
from pixcrawler.dispatcher import claiming


@pytest.fixture
def settings(settings):
    """Those of the other tests, with the limits that people get."""
    return settings.model_copy(update={"job_limits": Config.model_fields["job_limits"].default})


@pytest.fixture
def owner(world):
    """`owner(credits)`: one more, with an account."""
    return lambda credits_=999: Owner(world, credits_)


def scheduled_jobs(world: Any) -> list[int]:
    """The jobs of the attempts that the node was asked for, in order."""
    jobs = dict(world.sql("SELECT id, job FROM crawler.runs"))
    return [jobs[int(attempt.partition("-")[0])] for attempt in world.node.scheduled]


def pending(world: Any, limit: int = claiming.AT_ONCE) -> list[int]:
    """What a dispatcher finds to claim, in order."""

    async def look() -> list[int]:
        ours = engine.create(world.settings.database_url.get_secret_value(), application_name="test", pool_size=1)
        try:
            async with engine.transaction(ours) as connection:
                return [row.id for row in await crawl_jobs.pending(connection, limit, world.settings.jobs_by_credits)]
        finally:
            await ours.dispose()

    return asyncio.run(look())


@pytest.fixture
def after_the_look(monkeypatch):
    """`after_the_look(what)`: that happens between a dispatcher's look at what is pending and its claims."""

    def happens(what: Callable[[], object]) -> None:
        look = crawl_jobs.pending

        async def look_and_wait(*arguments: Any) -> list[Any]:
            rows = await look(*arguments)
            what()
            return rows

        monkeypatch.setattr(crawl_jobs, "pending", look_and_wait)

    return happens


# How many jobs of an owner run


@pytest.mark.parametrize(
    ("credits_", "limit"), [(10, 1), (999, 1), (1_000, 3), (9_999, 3), (10_000, 10), (2_000_000, 10)]
)
def test_credits_allow_so_many_jobs_at_once(world, owner, credits_, limit):
    someone = owner(credits_)
    jobs = someone.ask(12)
    world.tick(2)
    assert someone.running() == jobs[:limit]


def test_the_limits_can_be_set(world, owner):
    poor, rich = owner(4), owner(5)
    poor.ask(3, max_images=1)
    rich.ask(3, max_images=1)
    world.tick(2, job_limits=("5:2",))
    assert (len(poor.running()), len(rich.running())) == (0, 2)


def test_the_next_job_starts_when_one_has_ended(world, owner):
    someone = owner(20)
    first, second = someone.ask(2)
    world.tick(2)
    assert someone.running() == [first]
    assert pending(world) == []  # the second one is not even looked at: many of them would hide others
    world.sql("UPDATE public.crawl_jobs SET status = 'cancelled' WHERE id = %s", (first,))
    world.tick()
    world.crawl("1-1", crawling(1))
    world.tick(3)
    assert world.job(first)["status"] == "cancelled"
    assert someone.running() == [second]


def test_many_dispatchers_together_keep_the_limit(world, owner):
    owners = [owner(1_000), owner(1_000)]
    for someone in owners:
        someone.ask(30)

    async def together() -> None:
        await asyncio.gather(*(world._tick(4, world.settings) for _ in range(4)))

    asyncio.run(together())
    assert [len(someone.running()) for someone in owners] == [3, 3]


def test_two_claims_at_the_same_moment_keep_the_limit(world, owner, monkeypatch):
    """One was taken for dead while it claimed; and they find different jobs, for an older row became visible later."""
    someone = owner(20)
    found = iter(someone.ask(2))
    look, start = crawl_jobs.pending, crawl_jobs.start
    started = []

    async def find_one(connection: Any, limit: int, _: Any) -> list[Any]:
        mine = next(found)
        return [row for row in await look(connection, limit, {0: 2}) if row.id == mine]

    async def start_together(connection: Any, job: int) -> bool:
        started.append(job)
        waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while len(started) < 2 and not world.sql(waiting):  # noqa: ASYNC110  # only the database knows who waits
            await asyncio.sleep(0.01)
        return await start(connection, job)

    async def both(*_: Any) -> bool:
        return True

    async def together() -> None:
        await asyncio.gather(*(world._tick(1, world.settings) for _ in range(2)))

    monkeypatch.setattr(locks, "try_take", both)
    monkeypatch.setattr(crawl_jobs, "pending", find_one)
    monkeypatch.setattr(crawl_jobs, "start", start_together)
    asyncio.run(together())
    assert len(someone.running()) == 1


def test_a_limit_reached_meanwhile_leaves_the_job_pending(world, owner, after_the_look, caplog):
    """Whatever the look at what is pending has found, the claim counts again."""
    someone = owner(20)
    first, second = someone.ask(2)
    after_the_look(
        lambda: world.sql(
            "INSERT INTO crawler.jobs (id, state, owner, keywords, asked) VALUES (%s, 'crawling', %s, '[]', 1)",
            (second, someone.id),
        )
    )
    world.tick()
    assert world.job(first)["status"] == "pending"
    assert world.sql("SELECT id FROM crawler.jobs") == [(second,)]
    assert not caplog.records


def test_bad_input_is_refused_although_the_limit_is_reached_meanwhile(world, owner, after_the_look):
    someone = owner(20)
    (bad,) = someone.ask(1, '"no list"')
    after_the_look(
        lambda: world.sql(
            "INSERT INTO crawler.jobs (id, state, owner, keywords, asked) VALUES (999, 'crawling', %s, '[]', 1)",
            (someone.id,),
        )
    )
    world.tick()
    assert world.job(bad)["status"] == "failed"


# Nobody hides anybody


def test_a_thousand_jobs_do_not_hide_another_owners(world, owner):
    greedy, modest, broke = owner(10_000), owner(20), owner(None)
    many = greedy.ask(1_000)
    (one,) = modest.ask(1)
    two = broke.ask(2)
    assert pending(world) == [many[0], one, two[0], *many[1:10]]
    assert pending(world, limit=2) == [many[0], one]


def test_jobs_without_an_owner_neither_hide_others_nor_are_hidden(world, owner):
    world.sql("ALTER TABLE public.crawl_jobs ALTER project_id DROP NOT NULL")
    first, second = owner(10_000), owner(20)
    many = first.ask(100)
    lost = second.ask(100)
    world.sql("UPDATE public.crawl_jobs SET project_id = NULL WHERE id = ANY(%s)", (lost,))
    (one,) = second.ask(1)
    assert pending(world, limit=5) == [many[0], lost[0], one, many[1], lost[1]]
    world.tick(3)
    refused = world.sql("SELECT count(*) FROM public.crawl_jobs WHERE status = 'failed' AND id = ANY(%s)", (lost,))
    assert refused == [(100,)]
    assert (first.running(), second.running()) == (many[:10], [one])


def test_another_owners_first_run_goes_into_the_next_free_slot(world, owner):
    one_slot = {"scrapyd_nodes": (f"{world.node.url}#1",)}
    greedy, modest = owner(10_000), owner(20)
    many = greedy.ask(1_000)
    world.tick(2, **one_slot)
    assert scheduled_jobs(world) == many[:1]
    (one,) = modest.ask(1)
    world.tick(2, **one_slot)
    assert scheduled_jobs(world) == many[:1]  # no slot is free
    world.crawl("1-1", crawling(10))
    world.tick(2, **one_slot)
    assert scheduled_jobs(world) == [many[0], one]


def test_with_one_slot_owners_take_turns(world, owner):
    one_slot = {"scrapyd_nodes": (f"{world.node.url}#1",)}
    first, second = owner(10_000), owner(1_000)
    many, few = first.ask(5), second.ask(2)
    world.tick(**one_slot)
    for _ in range(4):
        world.crawl(world.node.scheduled[-1], crawling(10))
        world.tick(2, **one_slot)
    assert scheduled_jobs(world) == [many[0], few[0], many[1], few[1], many[2]]


def test_an_attempt_that_no_node_took_is_no_turn(world, owner):
    (first,), _ = owner(20).ask(1), owner(0).ask(1)
    world.tick(scrapyd_nodes=("http://127.0.0.1:9#1",))
    assert world.sql("SELECT job, state FROM crawler.attempts") == [(first, "undelivered")]
    world.tick(2, scrapyd_nodes=(f"{world.node.url}#1",))
    assert scheduled_jobs(world) == [first]


def test_free_slots_are_shared_between_owners(world, owner):
    first, second = owner(10_000), owner(10_000)
    many, others = first.ask(6), second.ask(6)
    world.tick()
    assert scheduled_jobs(world) == [many[0], others[0], many[1], others[1]]


def test_an_owners_jobs_start_by_age(world, owner):
    someone = owner(1_000)
    jobs = someone.ask(3)
    world.tick()
    assert scheduled_jobs(world) == jobs


# How many runs of a source


def test_a_source_has_its_limit_and_holds_up_no_other(world):
    rare = [world.insert(["cat"]) for _ in range(5)]
    listed = [world.insert(["cat"], options={"sources": ["urls"], "list": "lists/1"}) for _ in range(2)]
    world.tick(2, source_limits=("openverse:2",))
    assert sorted(scheduled_jobs(world)) == [*rare[:2], *listed]
    world.crawl("1-1", crawling(10))
    world.tick(2, source_limits=("openverse:2",))
    assert sorted(scheduled_jobs(world)) == [*rare[:3], *listed]


def test_two_dispatchers_together_keep_a_sources_limit(world):
    for _ in range(10):
        world.insert(["cat"])
    changed = {"scrapyd_nodes": (f"{world.node.url}#9",), "source_limits": ("openverse:3",)}
    settings = world.settings.model_copy(update=changed)

    async def together() -> None:
        await asyncio.gather(*(world._tick(3, settings) for _ in range(3)))

    asyncio.run(together())
    assert len(world.node.scheduled) == 3


def test_a_source_that_has_filled_since_the_look_gets_no_more(world, monkeypatch):
    look = runs.due
    monkeypatch.setattr(runs, "due", lambda connection, limit, _: look(connection, limit, {}))
    for _ in range(4):
        world.insert(["cat"])
    world.tick(2, source_limits=("openverse:3",))
    assert len(world.node.scheduled) == 3


# What the owner cancels between the look and the claim


def test_a_job_cancelled_before_its_claim_stays_cancelled(world, owner, after_the_look, caplog):
    someone = owner(1_000)
    cancelled, deleted, other = someone.ask(3)

    def change_of_mind() -> None:
        world.sql("UPDATE public.crawl_jobs SET status = 'cancelled' WHERE id = %s", (cancelled,))
        world.sql("DELETE FROM public.crawl_jobs WHERE id = %s", (deleted,))

    after_the_look(change_of_mind)
    world.tick()
    assert world.job(cancelled)["status"] == "cancelled"
    assert world.sql("SELECT id FROM crawler.jobs") == [(other,)]
    assert world.sql("SELECT resource_id FROM public.activity_logs") == [(str(other),)]
    assert not caplog.records


def test_a_bad_job_cancelled_before_its_refusal_stays_cancelled(world, owner, after_the_look, caplog):
    (bad,) = owner(1_000).ask(1, '"no list"')
    after_the_look(lambda: world.sql("UPDATE public.crawl_jobs SET status = 'cancelled' WHERE id = %s", (bad,)))
    world.tick()
    assert world.job(bad)["status"] == "cancelled"
    assert world.notices() == []
    assert not caplog.records


# The choice itself


@dataclass(frozen=True)
class Run:
    run: int
    owner: str
    source: str


someones_runs = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("xyz")), max_size=30)
some_turns = st.dictionaries(st.sampled_from("abc"), st.floats(1, 3))
some_limits = st.dictionaries(st.sampled_from("xy"), st.integers(1, 5))


@given(someones_runs, someones_runs, some_turns, some_limits)
def test_every_turn_is_fair_and_keeps_the_limits(waiting, working, last_turns, limits):
    at_work = [Run(-number, *who) for number, who in enumerate(working, 1)]
    left = [Run(number, *who) for number, who in enumerate(waiting, 1)]
    for chosen in [*fairly(left, at_work, last_turns, limits), None]:
        sources = Counter(run.source for run in at_work)
        owners = Counter(run.owner for run in at_work)
        possible = [run for run in left if sources[run.source] < limits.get(run.source, 99)]
        if chosen is None:
            assert not possible
            break
        assert chosen == min(possible, key=lambda run: (owners[run.owner], last_turns.get(run.owner, 0), run.run))
        at_work.append(chosen)
        left.remove(chosen)


def test_a_source_that_is_searched_bears_one_run_at_a_time(world, settings_env):
    for number in range(3):
        world.insert([f"cat {number}"], 10, {"sources": ["commons"]})
    listed = world.insert(["dog"], 10, {"sources": ["urls"], "list": "lists/1.csv"})
    changed = {"scrapyd_nodes": (f"{world.node.url}#9",), "job_limits": ("0:9",), "source_limits": ()}
    world.tick(3, **changed)
    at_work = world.sql("SELECT r.source, r.job FROM crawler.attempts a JOIN crawler.runs r ON r.id = a.run ORDER BY 1")
    assert at_work == [("commons", 1), ("urls", listed)]
    settings_env(PIXCRAWLER_BASE_URL_COMMONS="http://127.0.0.1:1")  # a mirror of our own
    world.tick(3, **changed)
    assert len(world.node.scheduled) == 4
