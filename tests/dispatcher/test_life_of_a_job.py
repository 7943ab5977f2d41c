"""What the front end and the owner see of a job, from the row to its end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from worlds import ledger, pictures, stored

from pixcrawler.db.ledger import PostgresLedger
from pixcrawler.errors import LeaseLost
from pixcrawler.jobs import AttemptState, Outcome, Reason, Spent


async def bring(book: PostgresLedger, items: list[Any], spent: Spent | None = Spent.EXHAUSTED) -> list[Reason | None]:
    """Books a page of pictures and keeps each."""
    todo = await book.add_page(items[0].keyword, items, 2, spent)
    await book.begin(todo)
    return list(await asyncio.gather(*(book.keep(stored(item)) for item in todo)))


def crawling(number: int, spent: Spent | None = None, *, first: int = 1, keyword: str = "cat", end: bool = True) -> Any:
    """A crawl that finds `number` pictures of one keyword and keeps what it may."""

    async def play(book: PostgresLedger) -> list[Reason | None] | None:
        if await book.open() is None:
            return None
        results = await bring(book, pictures(*range(first, first + number), keyword=keyword), spent)
        if end:
            missing = book.missing(keyword)
            await book.close(Outcome(AttemptState.SHORT, "had no more") if missing else Outcome(AttemptState.SUCCEEDED))
        return results

    return play


def test_a_row_becomes_a_run_on_the_node(world):
    job = world.insert(["cat"])
    world.tick()
    assert world.node.scheduled == ["1-1"]
    assert world.job(job)["status"] == "running"
    assert world.job(job)["task_ids"] == ["1-1"]


def test_exactly_the_number_asked_is_kept(world):
    job = world.insert(["cat"], 10)
    world.tick()
    results = world.crawl("1-1", crawling(15))
    assert results.count(None) == 10
    assert results.count(Reason.OVER_QUOTA) == 5
    world.tick(2)
    assert world.state(job)[:3] == ("exporting", 10, "full")
    assert world.decisions(job) == {"kept": 10, "over_quota": 5}
    assert world.job(job) | {"task_ids": []} == {
        "status": "running",
        "progress": 99,
        "total_images": 15,
        "downloaded_images": 15,
        "valid_images": 10,
        "active_chunks": 0,
        "completed_chunks": 1,
        "task_ids": [],
    }
    rows = world.sql("SELECT filename, metadata->>'position' FROM public.images ORDER BY id")
    assert [int(position) for _, position in rows] == list(range(1, 11))
    assert all(name.startswith("cat/0000") for name, _ in rows)


def test_an_attempt_is_claimed_once(world):
    world.insert(["cat"])
    world.tick()

    async def twice(book: PostgresLedger) -> tuple[bool, bool]:
        async with ledger(world.settings, "1-1") as other:
            return await book.open() is not None, await other.open() is not None

    assert world.crawl("1-1", twice) == (True, False)


def test_what_one_source_lacks_is_asked_of_the_other(world):
    job = world.insert(["cat"], 20, {"sources": ["openverse", "urls"], "list": "lists/1.csv"})
    world.tick()
    assert sorted(world.node.scheduled) == ["1-1", "2-1"]
    world.crawl("1-1", crawling(4, Spent.EXHAUSTED))
    world.crawl("2-1", crawling(30, Spent.EXHAUSTED, first=100))
    world.tick(2)
    assert world.node.scheduled[-1] == "3-1"

    async def the_rest(book: PostgresLedger) -> int:
        run = await book.open()
        assert (run.slices["cat"].quota, run.slices["cat"].cursor) == (6, 2)
        suspects, waiting = await book.open_candidates()
        await book.begin(waiting)
        await asyncio.gather(*(book.keep(stored(item)) for item in suspects + waiting))
        await book.close(Outcome(AttemptState.SUCCEEDED))
        return len(waiting)

    # What its first run had no room for is not lost: 30 found, 10 kept.
    assert world.crawl("3-1", the_rest) == 20
    world.tick(2)
    assert world.state(job)[:3] == ("exporting", 20, "full")
    assert world.job(job)["total_images"] == 34


def test_too_few_end_short_and_say_why(world):
    job = world.insert(["cat"], 20)
    world.tick()
    world.crawl("1-1", crawling(4, Spent.EXHAUSTED))
    world.tick(2)
    assert world.state(job) == ("exporting", 4, "short", "openverse: had no more")


def test_nothing_found_fails_with_a_notice(world):
    job = world.insert(["cat"])
    world.tick()

    async def nothing(book: PostgresLedger) -> None:
        await book.open()
        await book.add_page("cat", [], 2, Spent.EXHAUSTED)
        await book.close(Outcome(AttemptState.SHORT, "had no more for “cat”"))

    world.crawl("1-1", nothing)
    world.tick(2)
    assert world.job(job)["status"] == "failed"
    assert world.notices() == [("error", "Crawl Job Failed", "“pets” found no image: openverse: had no more for “cat”")]


@pytest.mark.parametrize(
    ("keywords", "max_images", "complaint"),
    [
        (None, 10, "keywords: expected a list of texts"),
        ([], 10, "keywords: expected 1 to 50"),
        ({"a": 1}, 10, "keywords: expected a list of texts"),
        (["cat"] * 10_000, 10, "keywords: expected 1 to 50, got 10000"),
        (["cat"], 0, "max_images: expected a number"),
        (["cat"], -5, "max_images: expected a number"),
        (["cat"], 2_000_000_000, "max_images: expected a number"),
    ],
)
def test_a_bad_row_fails_with_a_reason_and_others_go_on(world, keywords, max_images, complaint):
    bad = world.insert(keywords, max_images)
    good = world.insert({"keywords": ["cat"]})
    world.tick()
    assert world.job(bad)["status"] == "failed"
    assert complaint in world.notices()[0][2]
    assert world.job(good)["status"] == "running"


@pytest.mark.parametrize(
    ("source", "complaint"), [("nosuch", "sources: unknown 'nosuch'"), ("urls", "urls needs a list of URLs")]
)
def test_a_source_that_cannot_be_asked_fails_the_job(world, source, complaint):
    job = world.insert(["cat"], 10, {"sources": [source]})
    world.tick()
    assert world.job(job)["status"] == "failed"
    assert complaint in world.notices()[0][2]


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


def test_duplicates_within_and_between_runs(world):
    job = world.insert(["cat"], 20, {"sources": ["openverse", "urls"], "list": "lists/1.csv"})
    world.tick()

    async def first(book: PostgresLedger) -> list[Any]:
        await book.open()
        todo = await book.add_page("cat", pictures(1, 2, 3), 2, Spent.EXHAUSTED)
        await book.begin(todo)
        results = await asyncio.gather(*(book.keep(stored(item, look=n // 2)) for n, item in enumerate(todo)))
        await book.close(Outcome(AttemptState.SHORT, "had no more"))
        return list(results)

    async def second(book: PostgresLedger) -> tuple[list[Any], list[Any]]:
        await book.open()
        todo = await book.add_page("cat", pictures(3, 4), 2, Spent.EXHAUSTED)
        await book.begin(todo)
        known = [book.duplicate_of(stored(item, look=0).inspection) for item in todo]
        results = await asyncio.gather(*(book.keep(stored(item, look=1)) for item in todo))
        await book.close(Outcome(AttemptState.SHORT, "had no more"))
        return known, list(results)

    assert world.crawl("1-1", first) == [None, Reason.DUPLICATE_BYTES, None]
    assert world.crawl("2-1", second) == ([Reason.DUPLICATE_BYTES], [Reason.DUPLICATE_BYTES])
    assert world.decisions(job) == {"kept": 2, "duplicate_bytes": 2, "duplicate_url": 1}
    funnels = world.sql("SELECT funnel FROM crawler.runs ORDER BY id")
    assert all(f["found"] == f["kept"] + sum(f["reasons"].values()) for (f,) in funnels)


def test_two_crawls_at_once_keep_a_picture_once(world):
    job = world.insert(["cat"], 20, {"sources": ["openverse", "urls"], "list": "lists/1.csv"})
    world.tick()

    async def both(one: PostgresLedger) -> list[Any]:
        async with ledger(world.settings, "2-1") as other:
            results = []
            books = [one, other]
            for book in books:
                await book.open()
            for number, book in enumerate(books):
                [item] = await book.add_page("cat", pictures(number), 2, Spent.EXHAUSTED)
                await book.begin([item])
                assert book.duplicate_of(stored(item, look=1).inspection) is None
                results.append(await book.keep(item))
            for book in books:
                await book.close(Outcome(AttemptState.SHORT, "had no more"))
        return results

    assert world.crawl("1-1", both) == [None, Reason.DUPLICATE_BYTES]
    assert world.decisions(job) == {"kept": 1, "duplicate_bytes": 1}


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


def test_the_owner_cannot_start_a_job_twice_or_change_its_books(world):
    job = world.insert(["cat"], 10)
    world.tick()
    world.sql("UPDATE public.crawl_jobs SET status = 'pending', valid_images = 99, task_ids = '[]'")
    world.tick()
    assert world.node.scheduled == ["1-1"]
    assert world.job(job)["status"] == "running"
    assert world.job(job)["valid_images"] == 0
    assert world.job(job)["task_ids"] == ["1-1"]


def test_a_job_that_cannot_be_planned_holds_up_no_other(world):
    first, second = world.insert(["cat"]), world.insert(["dog"])
    world.sql("UPDATE public.crawl_jobs SET status = 'paused' WHERE id = %s", (second,))
    world.tick()
    world.sql("UPDATE crawler.jobs SET planned_at = NULL, options = '{}' WHERE id = %s", (first,))
    world.sql("UPDATE public.crawl_jobs SET status = 'pending' WHERE id = %s", (second,))
    world.tick()
    assert world.job(second)["task_ids"] == ["2-1"]


def test_the_deadline_ends_a_job(world):
    job = world.insert(["cat"], 10)
    world.tick(deadline_seconds=0.001)
    world.tick(2)
    assert world.state(job)[0] == "failed"
    assert world.state(job)[3] == "the time for crawling was up"


def test_too_many_candidates_end_a_job_while_it_runs(world):
    job = world.insert(["cat"], 1)
    world.tick()

    async def endless(book: PostgresLedger) -> tuple[bool, list[Any]]:
        await book.open()
        for page in range(3):
            todo = await book.add_page("cat", pictures(*range(1000 * page, 1000 * (page + 1))), page, None)
            for item in todo:
                book.reject(item, Reason.TOO_SMALL)
        await world._tick(1, world.settings)
        outcome = await book.beat(), await book.add_page("cat", pictures(9999), 9, None)
        await book.close(Outcome(AttemptState.CANCELLED, "not wanted any more"))
        return outcome

    assert world.crawl("1-1", endless) == (False, [])
    world.tick(2)
    assert world.state(job)[0] == "failed"
    assert world.state(job)[3] == "2,050 candidates were met"
