"""Retry and extend: the only ways out of a terminal state, and only what is missing is done again."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import encoded, photo
from worlds import World, bring, crawling, ledger, pictures, stored

from pixcrawler.cli.access import in_transaction
from pixcrawler.db import crawl_jobs, engine, jobs
from pixcrawler.db.ledger import PostgresLedger
from pixcrawler.dispatcher import Dispatcher
from pixcrawler.dispatcher.ending import _begin_to_cancel
from pixcrawler.dispatcher.planning import next_slice, pairs_of
from pixcrawler.dispatcher.steps import for_each
from pixcrawler.errors import LeaseLost, UsageError
from pixcrawler.export import formats
from pixcrawler.export.loop import Exporter
from pixcrawler.imaging import inspect
from pixcrawler.items import ImageItem
from pixcrawler.jobs import AttemptState, Outcome, Reason, RunState, Spent, plan
from pixcrawler.storage import open_storage

TERMS: dict[str, Any] = {"deadline_seconds": 1000, "jobs_by_credits": {0: 1000}}


def url_of(world: World) -> str:
    assert world.settings.database_url is not None
    return world.settings.database_url.get_secret_value()


def retry(world: World, job: int) -> int:
    return asyncio.run(in_transaction(url_of(world), lambda c: jobs.retry(c, job, **TERMS)))


def extend(world: World, job: int, asked: int) -> int:
    return asyncio.run(in_transaction(url_of(world), lambda c: jobs.extend(c, job, asked, **TERMS)))


def export(world: World, state: str = "done") -> None:
    """Plays the exporter, and lets the job end."""
    world.tick(2)
    done = "state = 'done', key = 'k' || id, size = 1, sha256 = 's'" if state == "done" else "state = 'failed'"
    world.sql(f"UPDATE crawler.exports SET {done}, reason = 'the disk is full' WHERE state = 'pending'")
    world.tick(2)


async def while_taking_up(world: World, job: int, other: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Begins `other` before the commit of a retry, which waits until that has ended or waits itself."""
    taking_up = engine.create(url_of(world), application_name="retry", pool_size=1)
    async with engine.transaction(taking_up) as connection:
        await jobs.retry(connection, job, **TERMS)
        meanwhile = asyncio.create_task(other())
        while not meanwhile.done() and not world.sql("SELECT 1 FROM pg_locks WHERE NOT granted"):
            await asyncio.wait([meanwhile], timeout=0.01)
    await meanwhile
    await taking_up.dispose()


def cancel(world: World, job: int) -> None:
    world.sql("UPDATE public.crawl_jobs SET status = 'cancelled' WHERE id = %s", (job,))


def verdicts(spent: Spent | None = Spent.EXHAUSTED, **by_reason: Sequence[int]) -> Any:
    """A crawl of one page whose pictures are kept, or end for these reasons."""

    async def play(book: PostgresLedger) -> None:
        await book.open()
        found = {reason: pictures(*numbers) for reason, numbers in by_reason.items()}
        todo = await book.add_page("cat", [item for items in found.values() for item in items], 2, spent)
        assert len(todo) == sum(map(len, by_reason.values()))
        await book.begin(todo)
        await asyncio.gather(*(book.keep(stored(item)) for item in found.pop("kept", [])))
        for reason, items in found.items():
            for item in items:
                book.reject(item, Reason(reason))
        await book.close(Outcome(AttemptState.SHORT, "had no more"))

    return play


def resuming(*more: int, expected: Sequence[int], cursor: Any) -> Any:
    """A crawl that must find `expected` handed over to it, keeps them, then asks for a page of `more`."""

    async def play(book: PostgresLedger) -> list[str]:
        run = await book.open()
        assert run is not None
        assert run.slices["cat"].cursor == cursor
        suspects, waiting = await book.open_candidates()
        assert suspects == []
        assert [number_of(item) for item in waiting] == list(expected)
        await book.begin(waiting)
        await asyncio.gather(*(book.keep(stored(item)) for item in waiting))
        fetched = list(waiting)
        if more:
            todo = await book.add_page("cat", pictures(*more), 9, Spent.EXHAUSTED)
            await book.begin(todo)
            await asyncio.gather(*(book.keep(stored(item)) for item in todo))
            fetched += todo
        missing = book.missing("cat")
        await book.close(Outcome(AttemptState.SHORT, "had no more" if missing else ""))
        return [number_of(item) for item in fetched]

    return play


async def timing_out(book: PostgresLedger) -> list[int]:
    """A crawl for which everything it is handed is too slow, and whose source has no more."""
    await book.open()
    _, waiting = await book.open_candidates()
    await book.begin(waiting)
    for item in waiting:
        book.reject(item, Reason.TIMEOUT)
    await book.add_page("cat", [], 2, Spent.EXHAUSTED)
    await book.close(Outcome(AttemptState.SHORT, "had no more"))
    return [number_of(item) for item in waiting]


def number_of(item: ImageItem) -> int:
    return int(Path(item.url).stem)


def images(world: World) -> list[tuple[Any, ...]]:
    return world.sql("SELECT * FROM public.images ORDER BY id")


def funnels_are_true(world: World) -> None:
    """Every ended run says of itself what its rows say."""
    rows = world.sql("SELECT run, coalesce(decision, 'open'), count(*) FROM crawler.candidates GROUP BY 1, 2")
    for run, funnel in world.sql("SELECT id, funnel FROM crawler.runs WHERE ended_at IS NOT NULL"):
        counted = {decision: n for its, decision, n in rows if its == run}
        assert funnel["found"] == sum(counted.values())
        assert {"kept": funnel["kept"], **funnel["reasons"]} == {"kept": 0, **counted}


def test_a_short_job_is_filled_once_its_source_has_more(world):
    job = world.insert(["cat"], 10)
    world.tick()
    world.crawl("1-1", crawling(4, Spent.EXHAUSTED))
    export(world)
    assert world.state(job) == ("completed", 4, "short", "openverse: had no more")
    before = images(world)

    assert retry(world, job) == 2
    assert world.state(job) == ("crawling", 4, None, None)
    seen = world.job(job)
    assert (seen["status"], seen["valid_images"], seen["progress"]) == ("running", 4, 39)
    assert world.sql("SELECT completed_at FROM public.crawl_jobs") == [(None,)]

    world.tick()
    assert world.node.scheduled == ["1-1", "2-1"]
    fetched = world.crawl("2-1", resuming(*range(1, 13), expected=[], cursor=None))
    assert fetched == [5, 6, 7, 8, 9, 10, 11, 12]  # what is known is not fetched again
    export(world)
    assert world.state(job) == ("completed", 10, "full", None)
    assert world.job(job)["status"] == "completed"
    assert images(world)[:4] == before
    assert world.decisions(job) == {"kept": 10, "duplicate_url": 4, "over_quota": 2}
    funnels_are_true(world)


def test_a_source_that_still_has_no_more_ends_the_job_again(world):
    job = world.insert(["cat"], 10)
    world.tick()
    world.crawl("1-1", crawling(4, Spent.EXHAUSTED))
    export(world)
    for generation in (2, 3):
        assert retry(world, job) == generation
        world.tick()
        world.crawl(f"{generation}-1", resuming(1, 2, 3, 4, expected=[], cursor=None))
        export(world)
        assert world.state(job) == ("completed", 4, "short", "openverse: had no more")
    assert len(world.notices()) == 3
    starts = world.sql("SELECT metadata FROM public.activity_logs WHERE action = 'START_CRAWL_JOB' ORDER BY id")
    assert [details.get("generation") for (details,) in starts] == [None, 2, 3]


def test_useless_attempts_of_one_generation_do_not_count_in_the_next(world):
    job = world.insert(["cat"], 3)

    async def dies(book: PostgresLedger) -> None:
        await book.open()
        await book.add_page("cat", pictures(1, 2, 3), 2, None)

    world.tick()
    for attempt in ("1-1", "1-2", "1-3"):
        world.crawl(attempt, dies)
        world.tick(2)
    world.tick(2)
    assert world.job(job)["status"] == "failed"
    assert world.decisions(job) == {"abandoned": 3}

    retry(world, job)
    world.tick()
    assert world.crawl("2-1", resuming(expected=[1, 2, 3], cursor=2)) == [1, 2, 3]
    export(world)
    assert world.state(job)[:3] == ("completed", 3, "full")
    funnels_are_true(world)


def test_a_cancelled_job_goes_on_and_stays_wanted(world):
    job = world.insert(["cat"], 5)
    world.tick()

    async def cancelled(book: PostgresLedger) -> None:
        await book.open()
        await bring(book, pictures(1, 2), None)
        await book.add_page("cat", pictures(3, 4, 5), 3, None)
        cancel(world, job)
        await world._tick(1, world.settings)
        await book.beat()
        await book.close(Outcome(AttemptState.CANCELLED, "cancelled"))

    world.crawl("1-1", cancelled)
    world.tick(2)
    assert world.job(job)["status"] == "cancelled"
    assert world.decisions(job) == {"kept": 2, "cancelled": 3}

    retry(world, job)
    world.tick(2)
    assert world.state(job)[0] == "crawling"
    assert world.crawl("2-1", resuming(expected=[3, 4, 5], cursor=3)) == [3, 4, 5]
    export(world)
    assert world.state(job)[:3] == ("completed", 5, "full")


def test_only_what_nobody_has_judged_is_fetched_again(world):
    job = world.insert(["cat"], 10)
    world.tick()
    world.crawl(
        "1-1",
        verdicts(
            kept=[1, 2], too_small=[3], timeout=[4], http_error=[5], server_error=[6], unreachable=[7], crashed=[8]
        ),
    )
    export(world)
    assert world.node.scheduled == ["1-1"]  # within a generation nothing is tried twice
    assert world.state(job)[:3] == ("completed", 2, "short")
    retry(world, job)
    world.tick()
    assert world.crawl("2-1", resuming(*range(1, 10), expected=[4, 6, 7], cursor=None)) == [4, 6, 7, 9]
    funnels_are_true(world)
    assert world.sql("SELECT funnel->'found' FROM crawler.runs ORDER BY id") == [(5,), (9,)]
    export(world)
    assert world.state(job)[:3] == ("completed", 6, "short")


def test_what_fails_again_waits_for_the_generation_after(world):
    job = world.insert(["cat"], 10)
    world.tick()
    world.crawl("1-1", verdicts(kept=[1], timeout=[2]))
    export(world)

    for run in ("2-1", "3-1"):
        retry(world, job)
        world.tick()
        assert world.crawl(run, timing_out) == [2]
        export(world)
        assert world.state(job)[:3] == ("completed", 1, "short")
        assert world.node.scheduled[-1] == run
        funnels_are_true(world)


@pytest.mark.usefixtures("small_runs")
def test_what_two_sources_left_undone_is_taken_up_once(world):
    job = world.insert(["cat"], 4, {"sources": ["openverse", "urls"], "list": "lists/1.csv"})
    world.tick()
    world.crawl("1-1", verdicts(timeout=[1], kept=[2]))
    world.crawl("2-1", verdicts(timeout=[1], kept=[3]))
    export(world)
    assert world.state(job)[:3] == ("completed", 2, "short")
    retry(world, job)
    world.tick()
    assert sorted(world.node.scheduled[2:]) == ["3-1", "4-1"]
    assert world.sql("SELECT run FROM crawler.candidates WHERE decision IS NULL") == [(3,)]
    funnels_are_true(world)


@pytest.mark.usefixtures("small_runs")
def test_what_one_source_left_undone_twice_is_taken_up_once(world):
    job = world.insert(["cat"], 4, {"sources": ["openverse", "urls"], "list": "lists/1.csv"})
    world.tick()
    world.crawl("1-1", verdicts(None, timeout=[1], kept=[2, 3]))
    world.crawl("2-1", verdicts(too_small=[9]))
    world.tick(2)
    world.crawl("3-1", verdicts(timeout=[1], kept=[4]))
    export(world)
    assert world.state(job)[:3] == ("completed", 3, "short")
    retry(world, job)
    world.tick()
    world.crawl("4-1", timing_out)  # the other source, which has kept less and gives nothing
    world.tick(2)
    assert world.crawl("5-1", resuming(expected=[1], cursor=None)) == [1]
    funnels_are_true(world)


@pytest.mark.usefixtures("small_runs")
def test_what_another_source_knew_too_is_not_tried_for_both(world):
    job = world.insert(["cat"], 4, {"sources": ["openverse", "urls"], "list": "lists/1.csv"})
    world.tick()

    async def both(one: PostgresLedger) -> None:
        async with ledger(world.settings, "2-1") as two:
            await one.open()
            await two.open()
            todo = await one.add_page("cat", pictures(1, 2), 2, Spent.EXHAUSTED)
            assert await two.add_page("cat", pictures(1), 2, Spent.EXHAUSTED) == []
            await one.begin(todo)
            one.reject(todo[0], Reason.TIMEOUT)
            await one.keep(stored(todo[1]))
            await one.close(Outcome(AttemptState.SHORT, "had no more"))
            await two.close(Outcome(AttemptState.SHORT, "had no more"))

    world.crawl("1-1", both)
    world.node.states["2-1"] = "finished"
    export(world)
    assert world.decisions(job) == {"kept": 1, "timeout": 1, "duplicate_url": 1}
    retry(world, job)
    world.tick()
    world.crawl("3-1", timing_out)
    world.crawl("4-1", timing_out)
    export(world)
    assert world.node.scheduled[2:] in (["3-1", "4-1"], ["4-1", "3-1"])
    assert world.state(job)[:3] == ("completed", 1, "short")


def test_extending_a_full_job_goes_on_where_it_had_enough(world):
    job = world.insert(["cat"], 10)
    world.tick()
    world.crawl("1-1", crawling(15, None))
    export(world)
    assert world.state(job)[:3] == ("completed", 10, "full")
    before = images(world)
    with pytest.raises(UsageError, match=rf"^job {job} is complete: nothing is missing \(extend asks for more\)$"):
        retry(world, job)
    for too_few in (1, 10):
        with pytest.raises(UsageError, match=rf"^max_images: job {job} asks for 10 already"):
            extend(world, job, too_few)

    assert extend(world, job, 25) == 2
    assert world.sql("SELECT max_images FROM public.crawl_jobs") == [(25,)]
    world.tick()
    fetched = world.crawl("2-1", resuming(*range(16, 30), expected=[11, 12, 13, 14, 15], cursor=2))
    assert fetched == list(range(11, 30))
    export(world)
    assert world.state(job) == ("completed", 25, "full", None)
    assert images(world)[:10] == before
    positions = world.sql("SELECT (metadata->>'position')::int FROM public.images ORDER BY id")
    assert [position for (position,) in positions] == list(range(1, 26))
    assert world.sql("SELECT generation, version, state FROM crawler.exports ORDER BY id") == [
        (1, 1, "done"),
        (2, 2, "done"),
    ]
    funnels_are_true(world)


def test_a_failed_dataset_is_built_again_and_nothing_is_crawled(world):
    job = world.insert(["cat"], 3)
    world.tick()
    world.crawl("1-1", crawling(3))
    export(world, "failed")
    assert world.state(job) == ("failed", 3, "failed", "the disk is full")
    retry(world, job)
    export(world)
    assert world.state(job) == ("completed", 3, "full", None)
    assert world.node.scheduled == ["1-1"]
    assert world.sql("SELECT generation, state FROM crawler.exports ORDER BY id") == [(1, "failed"), (2, "done")]


def test_a_builder_of_an_older_generation_publishes_nothing(world, monkeypatch):
    job = world.insert(["cat"], 2)
    world.tick()

    async def for_real(book: PostgresLedger) -> None:
        run = await book.open()
        assert run is not None
        todo = await book.add_page("cat", pictures(1, 2), 2, None)
        await book.begin(todo)
        for seed, item in enumerate(todo):
            body = encoded(photo(seed))
            item.inspection, item.received = inspect(body), True
            item.storage_key = f"{run.storage_prefix}/images/{item.inspection.sha256}.jpg"
            item.storage_url = await open_storage(world.settings).put(item.storage_key, body, "image/jpeg")
        await asyncio.gather(*map(book.keep, todo))
        await book.close(Outcome(AttemptState.SUCCEEDED))

    world.crawl("1-1", for_real)
    world.tick(2)

    def build_slowly(*arguments: Any) -> Any:
        monkeypatch.undo()
        cancel(world, job)
        world.tick(2)
        assert world.state(job)[0] == "cancelled"
        asyncio.run(exporting(Exporter.sweep_next))
        retry(world, job)
        world.tick(2)
        assert world.state(job)[0] == "exporting"
        return formats.build(*arguments)

    async def exporting(step: Any) -> None:
        exporter = Exporter(url_of(world), world.settings.model_copy(update={"sweep_seconds": 0.001}))
        assert await step(exporter)
        await exporter.close()

    monkeypatch.setattr(formats, "build", build_slowly)
    asyncio.run(exporting(Exporter.build_next))
    world.tick(2)
    assert world.state(job)[0] == "exporting"
    assert world.sql("SELECT generation, state FROM crawler.exports ORDER BY id") == [(1, "cancelled"), (2, "pending")]
    assert list(world.settings.data_dir.rglob("dataset.zip")) == []
    asyncio.run(exporting(Exporter.build_next))
    world.tick(2)
    assert world.state(job)[:3] == ("completed", 2, "full")
    stray = world.settings.data_dir / "storage" / "jobs" / str(job) / "images" / "stray.jpg"
    stray.write_bytes(b"lost a race")
    asyncio.run(exporting(Exporter.sweep_next))  # every generation leaves something behind
    assert not stray.exists()
    assert [path.parent.name for path in world.settings.data_dir.rglob("dataset.zip")] == ["2.1"]


def test_a_process_of_an_older_generation_writes_nothing(world):
    job = world.insert(["cat"], 5)
    world.tick()

    async def wakes_up_late(book: PostgresLedger) -> None:
        await book.open()
        todo = await book.add_page("cat", pictures(1), 2, None)
        await book.begin(todo)
        cancel(world, job)
        world.node.states["1-1"] = "finished"
        await world._tick(3, world.settings)
        assert world.state(job)[0] == "cancelled"
        await in_transaction(url_of(world), lambda c: jobs.retry(c, job, **TERMS))
        await world._tick(1, world.settings)
        with pytest.raises(LeaseLost):
            await book.keep(stored(todo[0]))
        with pytest.raises(LeaseLost):
            await book.add_page("cat", pictures(2), 3, None)
        with pytest.raises(LeaseLost):
            await book.close(Outcome(AttemptState.FAILED, "a zombie"))

    world.crawl("1-1", wakes_up_late)
    assert world.decisions(job) == {"open": 1}
    assert world.sql("SELECT state FROM crawler.runs ORDER BY id") == [("cancelled",), ("running",)]
    assert world.crawl("2-1", resuming(expected=[1], cursor=2)) == [1]


def test_a_job_whose_time_was_up_has_time_again(world):
    job = world.insert(["cat"], 10)
    world.tick(deadline_seconds=0.001)
    world.tick(2)
    assert world.state(job)[3] == "the time for crawling was up"
    retry(world, job)
    world.tick(2)
    assert world.state(job)[0] == "crawling"


def test_a_refused_job_is_claimed_anew_once_it_is_corrected(world):
    job = world.insert([], 5, {"sources": ["openverse"]})
    world.tick()
    assert world.job(job)["status"] == "failed"
    with pytest.raises(UsageError, match=rf"^job {job} cannot be extended: it was refused \(keywords: "):
        extend(world, job, 50)
    retry(world, job)
    world.tick()  # it is as bad as before
    assert world.job(job)["status"] == "failed"
    world.sql("UPDATE public.crawl_jobs SET keywords = '[\"cat\"]'")
    assert retry(world, job) == 3
    assert world.job(job)["status"] == "pending"
    assert world.sql("SELECT completed_at FROM public.crawl_jobs") == [(None,)]
    world.tick()
    assert world.job(job)["status"] == "running"
    assert world.node.scheduled == ["1-1"]
    world.crawl("1-1", crawling(5))
    export(world)
    assert world.state(job) == ("completed", 5, "full", None)


def test_what_has_not_ended_cannot_be_retried(world):
    job = world.insert(["cat"])
    with pytest.raises(UsageError, match=rf"^job {job} cannot be retried: it has not begun$"):
        retry(world, job)
    other = world.insert(["cat"], 10, {"sources": ["openverse"]})
    with pytest.raises(UsageError, match=rf"^job {other} cannot be extended: it has not begun$"):
        extend(world, other, 20)
    world.tick()
    with pytest.raises(UsageError, match=rf"^job {job} cannot be retried: it is crawling$"):
        retry(world, job)
    cancel(world, job)
    world.tick(3)
    assert world.state(job)[0] == "cancelled"
    world.sql("DELETE FROM public.crawl_jobs WHERE id = %s", (job,))
    for gone in (job, 4711):
        with pytest.raises(UsageError, match=rf"^there is no job {gone}$"):
            retry(world, gone)
    assert world.sql("SELECT DISTINCT generation FROM crawler.jobs") == [(1,)]


def test_a_job_cancelled_before_its_claim_is_claimed_after_all(world):
    job = world.insert(["cat"])
    cancel(world, job)
    world.tick()
    assert retry(world, job) == 1
    world.tick()
    assert world.job(job)["status"] == "running"
    assert world.node.scheduled == ["1-1"]


def test_a_wish_of_an_older_generation_cancels_no_newer_one(world):
    job = world.insert(["cat"], 5)
    world.tick()
    cancel(world, job)

    async def story(dispatcher: Dispatcher) -> None:
        async with engine.transaction(dispatcher._engine) as connection:
            seen_before = await crawl_jobs.unwanted(connection)
        world.node.states["1-1"] = "finished"
        await world._tick(3, world.settings)
        await in_transaction(url_of(world), lambda c: jobs.retry(c, job, **TERMS))
        await for_each(dispatcher._engine, seen_before, _begin_to_cancel, "dispatcher.heeded")

    world.run(story)
    assert world.state(job)[0] == "crawling"


def test_a_job_that_is_swept_is_retried_at_once_and_crawled_afterwards(world):
    job = world.insert(["cat"])
    world.tick()
    cancel(world, job)
    world.tick(3)
    world.sql("UPDATE crawler.jobs SET sweep_until = now() + interval '1 hour'")
    assert retry(world, job) == 2
    world.tick(2)
    assert world.node.scheduled == ["1-1"]
    world.sql("UPDATE crawler.jobs SET sweep_until = NULL")
    world.tick()
    assert world.node.scheduled == ["1-1", "2-1"]


def test_of_two_at_once_one_is_refused(world):
    job = world.insert(["cat"], 10)
    world.tick()
    world.crawl("1-1", crawling(4, Spent.EXHAUSTED))
    export(world)

    async def the_other() -> None:
        with pytest.raises(UsageError, match=rf"^job {job} cannot be retried: it is crawling$"):
            await in_transaction(url_of(world), lambda c: jobs.retry(c, job, **TERMS))

    asyncio.run(while_taking_up(world, job, the_other))
    assert world.sql("SELECT generation FROM crawler.jobs") == [(2,)]
    world.tick(2)
    assert world.node.scheduled == ["1-1", "2-1"]


def test_nobody_restores_the_end_of_a_job_that_is_just_taken_up_again(world):
    job = world.insert(["cat"], 10)
    world.tick()
    cancel(world, job)
    world.node.states["1-1"] = "finished"
    world.tick(3)
    assert world.state(job)[0] == "cancelled"
    world.sql("UPDATE public.crawl_jobs SET status = 'pending'")  # which is to be restored

    world.run(lambda dispatcher: while_taking_up(world, job, dispatcher._restore_all))
    assert world.job(job)["status"] == "running"
    world.tick(2)
    assert world.state(job)[0] == "crawling"


def test_a_source_asked_from_the_beginning_is_not_barren_for_what_is_known(world):
    job = world.insert(["cat"], 320)
    world.tick()
    world.crawl("1-1", crawling(310, Spent.EXHAUSTED))
    export(world)
    retry(world, job)
    world.tick()

    async def dies(book: PostgresLedger) -> None:
        await book.open()
        assert await book.add_page("cat", pictures(*range(1, 311)), 2, None) == []

    async def goes_on(book: PostgresLedger) -> bool:
        await book.open()
        return book.barren("cat")

    world.crawl("2-1", dies)
    world.tick(2)
    assert world.crawl("2-2", goes_on) is False


def test_a_job_that_met_too_many_candidates_may_look_further(world):
    job = world.insert(["cat"], 1)
    world.tick()

    def endless(first: int, number: int, spent: Spent | None) -> Any:
        async def play(book: PostgresLedger) -> bool:
            await book.open()
            for start in range(first, first + number, 1000):
                todo = await book.add_page("cat", pictures(*range(start, start + 1000)), start, spent)
                for item in todo:
                    book.reject(item, Reason.TOO_SMALL)
            await world._tick(2, world.settings)
            wanted = await book.beat()
            await book.close(Outcome(AttemptState.SHORT, "had no more"))
            return wanted

        return play

    assert world.crawl("1-1", endless(0, 3000, Spent.EXHAUSTED)) is False
    world.tick(2)
    assert world.state(job)[::3] == ("failed", "2,050 candidates were met")
    retry(world, job)
    world.tick(2)
    assert world.node.scheduled == ["1-1", "2-1"]
    assert world.crawl("2-1", endless(0, 4000, None)) is True  # 3,000 were known
    world.tick(2)
    assert world.node.scheduled[-1] == "3-1"
    assert world.crawl("3-1", endless(4000, 1000, None)) is False
    world.tick(2)
    assert world.state(job)[::3] == ("failed", "4,100 candidates were met")


# Whatever has happened before, plans are exact and come to an end.


@dataclass
class FakeRun:
    id: int
    source: str
    generation: int
    slices: dict[str, dict[str, Any]]
    state: RunState = RunState.RUNNING


@dataclass
class FakeJob:
    """A job whose runs end as chance will have it. Of each (source, keyword) there are so many pictures."""

    asked: int
    stock: dict[tuple[str, str], int]
    chance: random.Random
    broken: str  # the source whose runs all fail
    generation: int = 1
    history: list[FakeRun] = field(default_factory=list)
    kept: Counter[tuple[int, str]] = field(default_factory=Counter)
    given: Counter[tuple[str, str]] = field(default_factory=Counter)
    spare: Counter[tuple[str, str]] = field(default_factory=Counter)  # over quota

    def plan(self) -> bool:
        """Begins what is planned. False: nothing is, and nothing is at work."""
        left_over = {pair for pair, number in self.spare.items() if number}
        pairs = pairs_of(self, self.history, self.kept, left_over)
        planned = plan(self.asked, pairs)
        outstanding = sum(pair.outstanding for pair in pairs)
        assert sum(sum(run.quotas.values()) for run in planned) <= self.asked - self.kept.total() - outstanding
        for run in planned:
            slices = {}
            for keyword, quota in run.quotas.items():
                own = [old for old in self.history if old.source == run.source and keyword in old.slices]
                part = next_slice(self, own, keyword, quota)
                slices[keyword] = {"quota": part.quota, "cursor": part.cursor, "spent": part.spent}
            self.history.append(FakeRun(len(self.history) + 1, run.source, self.generation, slices))
        return bool(planned) or any(pair.busy for pair in pairs)

    def end_a_run(self) -> None:
        run = self.chance.choice([run for run in self.history if run.state == RunState.RUNNING])
        works = run.source != self.broken and self.chance.random() < 0.7
        run.state = RunState.SUCCEEDED if works else RunState.FAILED
        for keyword, part in run.slices.items():
            pair = (run.source, keyword)
            there = self.stock[pair] - self.given[pair]
            brought = min(there, part["quota"])
            if run.state == RunState.FAILED:
                brought = 0 if run.source == self.broken else self.chance.randint(0, brought)
            elif brought < part["quota"]:
                run.state = RunState.SHORT
                part["spent"] = self.chance.choice([Spent.EXHAUSTED, Spent.BARREN])
            else:
                self.spare[pair] = self.chance.randint(0, there - brought)
                part["spent"] = self.chance.choice([None, Spent.CAPPED]) if self.spare[pair] else None
            self.kept[run.id, keyword] = brought
            self.given[pair] += brought
            self.spare[pair] = min(self.spare[pair], self.stock[pair] - self.given[pair])

    @property
    def keywords(self) -> list[str]:
        return list(dict.fromkeys(keyword for _, keyword in self.stock))

    @property
    def options(self) -> dict[str, list[str]]:
        return {"sources": list(dict.fromkeys(source for source, _ in self.stock))}


@given(
    st.integers(1, 1500),
    st.lists(st.integers(0, 700), min_size=6, max_size=6),
    st.lists(st.integers(0, 800), max_size=3),
    st.sampled_from(["openverse", "urls", "none"]),
    st.randoms(use_true_random=False),
)
def test_every_generation_is_exact_and_ends(asked, stock, extensions, broken, chance):
    names = [(source, keyword) for source in ("openverse", "urls") for keyword in ("cat", "dog", "owl")]
    job = FakeJob(asked, dict(zip(names, stock, strict=True)), chance, broken)
    for more in (0, *extensions):
        job.asked += more
        before = len(job.history)
        while job.plan():
            job.end_a_run()
            assert len(job.history) - before < 150
        assert job.kept.total() <= job.asked
        failed = any(run.state == RunState.FAILED for run in job.history[before:])
        if not failed and not any(part["spent"] == Spent.BARREN for run in job.history for part in run.slices.values()):
            assert job.kept.total() == min(job.asked, sum(stock))
        job.generation += 1
