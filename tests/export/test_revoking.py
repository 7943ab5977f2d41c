"""Pictures are taken back: they go out of rows, datasets, storage and credits, and never come again."""

from __future__ import annotations

import asyncio
import zipfile
from typing import Any

import pytest
from packing import (
    crawled,
    export,
    exports,
    files,
    packed,
    path_of,
    revoker,
    sweep,
    take_back,
    taking_back,
    url_of,
)
from pictures import encoded, photo
from worlds import World

from pixcrawler import faults
from pixcrawler.db import engine, takedowns
from pixcrawler.db.ledger import PostgresLedger
from pixcrawler.export.revoking import Affected
from pixcrawler.imaging import inspect
from pixcrawler.items import ImageItem
from pixcrawler.jobs import AttemptState, Outcome, Reason, Spent
from pixcrawler.takedowns import Kind, Subject

FIRST = Subject.parse(Kind.URL, "https://PICTURES.example:443/%30.jpg?utm_source=x#top")  # what a job keeps first


async def look(world: World, subject: Subject) -> list[Affected]:
    async with revoker(world) as one:
        return await one.look(subject)


def found(name: str, seed: int, *, quality: int = 85, **said: Any) -> ImageItem:
    """A stored picture; those of one seed are copies."""
    item = ImageItem(f"https://elsewhere.example/{name}.jpg", "openverse", "cat", **said)
    item.inspection, item.received = inspect(encoded(photo(seed), quality=quality)), True
    item.storage_key = f"jobs/1/images/{item.inspection.sha256}.jpg"
    return item


async def bring(book: PostgresLedger, items: list[ImageItem]) -> dict[str, str]:
    """As a crawl does: a page, a look at each, and what passes is kept. What became of each."""
    todo = await book.add_page("cat", items, 9, Spent.EXHAUSTED)
    await book.begin(todo)
    became = {}
    for item in todo:
        if reason := await book.duplicate_of(item):
            book.reject(item, reason)
        else:
            reason = await book.keep(item)
        became[item.url.rpartition("/")[2][:-4]] = reason or "kept"
    return became


def another(world: World, *items: ImageItem, options: dict[str, Any] | None = None) -> tuple[int, dict[str, str]]:
    """One more job that finds these."""
    job = world.insert(["cat"], 10, options)
    world.tick()

    async def play(book: PostgresLedger) -> dict[str, str]:
        assert await book.open()
        became = await bring(book, list(items))
        await book.close(Outcome(AttemptState.SHORT, "had no more"))
        return became

    became = world.crawl(world.node.scheduled[-1], play)
    world.tick(2)
    return job, became


def books(world: World) -> None:
    """What must add up, always."""
    assert world.sql("SELECT sum(amount) FROM public.credit_transactions") == world.sql(
        "SELECT current_balance FROM public.credit_accounts"
    )
    assert not world.sql(
        "SELECT id FROM crawler.jobs j WHERE kept <> (SELECT count(*) FROM public.images"
        " WHERE crawl_job_id = j.id AND NOT is_duplicate) OR charged > kept"
    )
    assert not world.sql(
        "SELECT id FROM crawler.runs r WHERE funnel IS NOT NULL AND (funnel->'kept')::int <>"
        " (SELECT count(*) FROM crawler.candidates WHERE run = r.id AND decision = 'kept')"
    )


def test_a_picture_is_taken_back_for_good(world: World) -> None:
    job = packed(world)
    [(sha256, key)] = world.sql(
        "SELECT hash, metadata->>'storage_key' FROM public.images WHERE original_url LIKE '%/0.jpg'"
    )
    [(balance,)] = world.sql("SELECT current_balance FROM public.credit_accounts")
    before = files(world, job)
    assert asyncio.run(look(world, FIRST)) == [Affected(job, 1, 1)]
    assert files(world, job) == before
    assert world.sql("SELECT count(*) FROM crawler.takedowns") == [(0,)]

    assert take_back(world, FIRST) == [Affected(job, 1, 1)]
    assert exports(world) == [("zip", "hot", "removed"), ("zip", "hot", "pending")]
    left = files(world, job)
    assert key not in left
    assert not [each for each in left if "/exports/" in each], "nobody can download it any more"
    assert world.state(job)[:2] == ("completed", 2)
    assert world.job(job)["valid_images"] == 2
    assert world.sql("SELECT current_balance - %s FROM public.credit_accounts", (balance,)) == [(1,)]
    assert world.sql("SELECT funnel FROM crawler.runs") == [({"found": 3, "kept": 2, "reasons": {"withdrawn": 1}},)]
    assert world.decisions(job) == {"kept": 2, "withdrawn": 1}
    assert [title for _, title, _ in world.notices()].count("Images Withdrawn") == 1
    books(world)

    export(world)
    with zipfile.ZipFile(path_of(world, f"jobs/{job}/exports/2.1/dataset.zip")) as dataset:
        assert dataset.testzip() is None
        assert len([name for name in dataset.namelist() if name.endswith(".jpg")]) == 2
        assert sha256 not in dataset.read("metadata.jsonl").decode()
    assert take_back(world, FIRST) == []
    assert world.sql("SELECT removed FROM crawler.takedowns") == [(1,)]
    assert len(exports(world)) == 2

    again, became = another(
        world,
        ImageItem("https://pictures.example/0.jpg", "openverse", "cat"),
        found("same", 0),
        found("near", 0, quality=50),
        found("other", 9),
        options={"duplicates": "exact"},
    )
    assert became == {"same": "withdrawn", "near": "withdrawn", "other": "kept"}
    assert world.decisions(again) == {"withdrawn": 3, "kept": 1}
    books(world)


def test_whoever_is_killed_is_followed_by_another(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job = packed(world, 4, {"formats": ["zip", "csv"]})
    copies, _ = another(world, found("copy", 0, quality=50), found("copy2", 1, quality=50), found("mine", 20))
    points = ("takedown.booked", "takedown.entombed", "takedown.removed")
    for number, point in enumerate(points):

        def die(reached: str, point: str = point) -> None:
            if reached == point:
                raise SystemExit

        subject = Subject.parse(Kind.URL, f"https://pictures.example/{number}.jpg")
        with monkeypatch.context() as patch:
            patch.setattr(faults, "reach", die)
            with pytest.raises(SystemExit):
                take_back(world, subject)
        take_back(world, subject)
        assert asyncio.run(look(world, subject)) == []
        books(world)
    assert world.state(job)[1] == 1
    assert world.state(copies)[1] == 1
    assert not [key for key in files(world, job) if "/exports/" in key]
    titles = [title for _, title, _ in world.notices()]
    assert titles.count("Images Withdrawn") == 5, "once for each takedown and job"
    assert world.sql("SELECT removed FROM crawler.takedowns ORDER BY id") == [(2,), (2,), (1,)]
    states = world.sql("SELECT format, state FROM crawler.exports WHERE job = %s ORDER BY id", (job,))
    assert states == [("zip", "removed"), ("csv", "removed"), ("zip", "pending"), ("csv", "pending")]
    take_back(world, Subject.parse(Kind.URL, "https://pictures.example/3.jpg"))
    states = world.sql("SELECT DISTINCT state FROM crawler.exports WHERE job = %s ORDER BY 1", (job,))
    assert states == [("cancelled",), ("removed",)], "nothing is left to be packed"
    assert len(files(world, job)) == 1
    sweep(world)
    assert files(world, job) == [], "what the killed one has left is swept"


def test_a_job_at_work_looks_for_others(world: World) -> None:
    job = world.insert(["cat"], 3)
    world.tick()

    async def play(book: PostgresLedger) -> None:
        assert await book.open()
        small, large = found("small", 1), found("large", 1)
        large.inspection = inspect(encoded(photo(1).resize((1280, 960))))
        assert await bring(book, [small]) == {"small": "kept"}
        assert await bring(book, [large, found("b", 2, creator="Ada")]) == {"large": "kept", "b": "kept"}
        open_ones = [found("c", 3, creator="ADA"), found("d", 4)]
        assert len(await book.add_page("cat", open_ones, 9, None)) == 2
        # What a better copy has replaced is taken back with that one; and a creator.
        assert await taking_back(world, Subject.parse(Kind.URL, "https://elsewhere.example/small.jpg")) == [
            Affected(job, 2, 0)
        ]
        assert await taking_back(world, Subject.parse(Kind.CREATOR, "ada")) == [Affected(job, 1, 0)]
        assert await bring(book, [found("e", 5), found("f", 6, creator="Ada")]) == {"e": "kept"}
        assert [item.url[-5:] for items in await book.open_candidates() for item in items] == ["d.jpg"]
        await book.close(Outcome(AttemptState.SHORT, "had no more"))

    world.crawl(world.node.scheduled[-1], play)
    assert world.sql("SELECT state, asked, kept, charged FROM crawler.jobs") == [("crawling", 3, 1, 0)]
    assert world.decisions(job) == {"kept": 1, "withdrawn": 5, "over_quota": 1}
    assert world.sql("SELECT metadata->'position' FROM public.images") == [(3,)], "no position is given twice"
    books(world)


def test_a_dataset_in_the_making_is_begun_again(world: World) -> None:
    job = crawled(world)
    world.tick()
    world.sql("UPDATE crawler.exports SET state = 'building', tries = 1, lease_until = now() + interval '1 hour'")
    take_back(world, FIRST)
    assert exports(world) == [("zip", "hot", "pending")]
    export(world)
    world.tick()
    assert world.state(job)[:2] == ("completed", 2)
    assert world.sql("SELECT pictures, key FROM crawler.exports") == [(2, f"jobs/{job}/exports/1.2/dataset.zip")]
    books(world)


def test_a_takedown_wins_over_a_crawl_that_is_just_keeping(world: World) -> None:
    job = world.insert(["cat"], 3)
    world.tick()

    async def play(book: PostgresLedger) -> Any:
        assert await book.open()
        [item] = await book.add_page("cat", [found("a", 1)], 2, Spent.EXHAUSTED)
        await book.begin([item])
        assert await book.duplicate_of(item) is None
        subject = Subject.parse(Kind.URL, item.url)
        own = engine.create(url_of(world), application_name="test", pool_size=1)
        async with engine.transaction(own) as connection:
            await takedowns.book(connection, subject, reason="r", booked_by="ann")
            keeping = asyncio.create_task(book.keep(item))
            while not world.sql("SELECT 1 FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110  # no event tells of it
                await asyncio.sleep(0.01)
        await own.dispose()
        decided = await keeping
        await book.close(Outcome(AttemptState.SHORT, "had no more"))
        return decided

    assert world.crawl(world.node.scheduled[-1], play) == Reason.WITHDRAWN
    assert world.decisions(job) == {"withdrawn": 1}
    assert world.sql("SELECT count(*) FROM public.images") == [(0,)]
