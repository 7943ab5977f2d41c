"""What the front end and the owner see of a job, from the row to its end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from worlds import crawling, ledger, pictures, stored

from pixcrawler.db.ledger import PostgresLedger
from pixcrawler.jobs import AttemptState, Outcome, Reason, Spent


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


@pytest.mark.usefixtures("small_runs")
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


@pytest.mark.usefixtures("small_runs")
def test_what_both_sources_have_is_not_lost_between_them(world):
    job = world.insert(["cat"], 6, {"sources": ["openverse", "urls"], "list": "lists/1.csv"})
    world.tick()

    async def both(one: PostgresLedger) -> None:
        async with ledger(world.settings, "2-1") as two:
            await one.open()
            await two.open()
            todo = await one.add_page("cat", pictures(*range(8)), 2, Spent.EXHAUSTED)
            assert await two.add_page("cat", pictures(*range(3, 8)), 2, Spent.EXHAUSTED) == []
            await one.begin(todo[:3])
            await asyncio.gather(*(one.keep(stored(item)) for item in todo[:3]))
            await one.close(Outcome(AttemptState.SUCCEEDED))
            await two.close(Outcome(AttemptState.SHORT, "had no more"))

    world.crawl("1-1", both)
    world.node.states["2-1"] = "finished"
    world.tick(2)

    async def the_rest(book: PostgresLedger) -> None:
        await book.open()
        _, waiting = await book.open_candidates()
        await book.begin(waiting)
        await asyncio.gather(*(book.keep(stored(item)) for item in waiting))
        await book.close(Outcome(AttemptState.SUCCEEDED))

    world.crawl("3-1", the_rest)
    world.tick(2)
    assert world.state(job)[:3] == ("exporting", 6, "full")
    assert world.decisions(job) == {"kept": 6, "over_quota": 2, "duplicate_url": 5}


@pytest.mark.usefixtures("small_runs")
def test_a_url_both_sources_had_no_room_for_is_taken_up_once(world):
    job = world.insert(["cat"], 4, {"sources": ["openverse", "urls"], "list": "lists/1.csv"})
    world.tick()
    world.crawl("1-1", crawling(5, Spent.EXHAUSTED))  # keeps two; three were too many
    world.crawl("2-1", crawling(5, Spent.EXHAUSTED))  # finds the same: keeps two of those three, one is too many again
    world.tick(2)
    assert world.state(job)[:3] == ("exporting", 4, "full")
    world.sql("UPDATE crawler.jobs SET state = 'crawling', asked = 5, planned_at = NULL WHERE id = %s", (job,))
    world.tick()
    assert world.node.scheduled[2:] == ["3-1"]
    assert world.sql("SELECT count(*) FROM crawler.candidates WHERE decision IS NULL") == [(1,)]


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


@pytest.mark.usefixtures("small_runs")
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
        known = [await book.duplicate_of(stored(item, look=0)) for item in todo]
        results = await asyncio.gather(*(book.keep(stored(item, look=1)) for item in todo))
        await book.close(Outcome(AttemptState.SHORT, "had no more"))
        return known, list(results)

    assert world.crawl("1-1", first) == [None, Reason.DUPLICATE_BYTES, None]
    assert world.crawl("2-1", second) == ([Reason.DUPLICATE_BYTES], [Reason.DUPLICATE_BYTES])
    assert world.decisions(job) == {"kept": 2, "duplicate_bytes": 2, "duplicate_url": 1}
    funnels = world.sql("SELECT funnel FROM crawler.runs ORDER BY id")
    assert all(f["found"] == f["kept"] + sum(f["reasons"].values()) for (f,) in funnels)


@pytest.mark.usefixtures("small_runs")
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
                assert await book.duplicate_of(stored(item, look=1)) is None
                results.append(await book.keep(item))
            for book in books:
                await book.close(Outcome(AttemptState.SHORT, "had no more"))
        return results

    assert world.crawl("1-1", both) == [None, Reason.DUPLICATE_BYTES]
    assert world.decisions(job) == {"kept": 1, "duplicate_bytes": 1}


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


BOTH = {"sources": ["openverse", "commons"]}
FOUND_BROKEN = (
    "INSERT INTO crawler.sources (name, state, reason, report) VALUES ('openverse', 'broken', 'no url', '{}')"
)


def test_a_source_found_broken_is_skipped(world):
    world.sql(FOUND_BROKEN)
    job = world.insert(["cat"], 40, BOTH)
    world.tick()
    assert world.sql("SELECT source, slices->'cat'->>'quota' FROM crawler.runs") == [("commons", "40")]
    world.crawl("1-1", crawling(30, Spent.EXHAUSTED))
    world.tick(2)
    state, kept, outcome, reason = world.state(job)
    assert (state, kept, outcome) == ("exporting", 30, "short")
    assert "openverse: found broken (no url)" in reason


def test_a_source_that_breaks_on_the_way_is_made_up_for(world):
    job = world.insert(["cat"], 40, BOTH)
    world.tick()
    runs = dict(world.sql("SELECT source, id FROM crawler.runs"))

    async def cannot_read(book: PostgresLedger) -> None:
        await book.open()
        await book.close(Outcome(AttemptState.FAILED, "answers a page that cannot be read"))

    world.crawl(f"{runs['openverse']}-1", cannot_read)
    world.sql(FOUND_BROKEN)
    world.crawl(f"{runs['commons']}-1", crawling(20))
    world.tick(2)
    world.crawl("3-1", crawling(20, first=100))
    world.tick(2)
    assert world.state(job)[:3] == ("exporting", 40, "full")
    assert world.sql("SELECT source FROM crawler.runs ORDER BY id") == [("openverse",), ("commons",), ("commons",)]


def test_an_old_check_keeps_nobody_away(world):
    world.sql(FOUND_BROKEN)
    world.sql("UPDATE crawler.sources SET checked_at = now() - interval '3 days'")
    world.insert(["cat"], 40, BOTH)
    world.tick()
    assert world.sql("SELECT source FROM crawler.runs ORDER BY id") == [("openverse",), ("commons",)]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"sources": ["bing"]}, "PIXCRAWLER_ACCEPT_TERMS=bing"),
        ({"sources": ["page"]}, "page needs a list"),
        ({"sources": ["openverse"], "filters": {"colour": "red"}}, "openverse cannot be asked for any colour"),
        ({"sources": ["openverse"], "filters": {"colour": "mauve"}}, "colour: expected"),
        ({"sources": ["openverse"], "filters": {"flavour": "sweet"}}, "unknown filter 'flavour'"),
    ],
    ids=["consent", "list", "cannot ask", "value", "name"],
)
def test_what_no_source_can_serve_fails_at_once_with_the_reason(world, options, why):
    job = world.insert(["cat"], 10, options)
    world.tick()
    assert world.job(job)["status"] == "failed"
    assert why in world.sql("SELECT reason FROM crawler.jobs")[0][0]


def test_of_the_default_sources_those_that_can_serve_the_filters_are_asked(world):
    job = world.insert(["cat"], 10, {"filters": {"colour": "grey"}})
    world.tick(default_sources=("openverse", "nasa"))
    assert world.job(job)["status"] == "failed"
    world.insert(["cat"], 10, {"filters": {"type": "illustration"}})
    world.tick(default_sources=("nasa", "openverse"))
    assert world.sql("SELECT options->'sources' FROM crawler.jobs WHERE state = 'crawling'") == [(["openverse"],)]


def test_a_small_job_is_one_run_and_a_larger_one_asks_more_sources(world):
    world.insert(["cat", "dog"], 30, {"sources": ["openverse", "commons", "nasa"]})
    world.tick()
    assert world.sql("SELECT source, slices FROM crawler.runs") == [
        ("openverse", {word: {"quota": 15, "spent": None, "cursor": None} for word in ("cat", "dog")})
    ]
