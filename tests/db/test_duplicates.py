"""Of the copies that jobs of a scope find, one is kept: the first, or within a job the best; and all of it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from typing import Any

import pytest
from pictures import encoded, photo
from sqlalchemy.ext.asyncio import AsyncConnection
from worlds import World, ledger, node, settings, small_runs, world  # noqa: F401  # fixtures

from pixcrawler.cli.access import in_transaction
from pixcrawler.config import Config
from pixcrawler.db import copies, images
from pixcrawler.db.ledger import PostgresLedger
from pixcrawler.imaging import inspect
from pixcrawler.items import ImageItem, Inspection
from pixcrawler.jobs import AttemptState, Outcome, Reason, Spent

CC0 = "https://creativecommons.org/publicdomain/zero/1.0/"

Verdicts = dict[str, Reason | None]


painted = lru_cache(photo)


@lru_cache
def seen(seed: int, quality: int, width: int) -> Inspection:
    return inspect(encoded(painted(seed).resize((width, width * 3 // 4)), quality=quality))


def found(name: str, seed: int, *, quality: int = 85, width: int = 640, keyword: str = "cat", **said: Any) -> ImageItem:
    """A stored picture; those of one seed are copies."""
    item = ImageItem(f"https://pictures.example/{name}.jpg", "openverse", keyword, **said)
    item.inspection, item.received = seen(seed, quality, width), True
    item.storage_key = f"jobs/1/images/{item.inspection.sha256}.jpg"
    return item


async def look(book: PostgresLedger, items: Sequence[ImageItem]) -> Verdicts:
    """As the pipelines do: one after the other is looked at, then all wait for the decision."""
    await book.begin(items)
    verdicts: Verdicts = {}
    passed = []
    for item in items:
        if reason := await book.duplicate_of(item):
            book.reject(item, reason)
            verdicts[name_of(item)] = reason
        else:
            passed.append(item)
    decided = await asyncio.gather(*(book.keep(item) for item in passed))
    return verdicts | {name_of(item): reason for item, reason in zip(passed, decided, strict=True)}


def name_of(item: ImageItem) -> str:
    return item.url.rpartition("/")[2].removesuffix(".jpg")


def crawl(world: World, attempt: str, *pages: Sequence[ImageItem]) -> Verdicts:  # noqa: F811
    """A crawl that finds one page after the other."""

    async def play(book: PostgresLedger) -> Verdicts:
        assert await book.open()
        verdicts: Verdicts = {}
        for number, page in enumerate(pages):
            await book.add_page(page[0].keyword, page, number, Spent.EXHAUSTED if number == len(pages) - 1 else None)
            verdicts |= await look(book, page)
        await book.close(Outcome(AttemptState.SHORT, "had no more"))
        return verdicts

    return world.crawl(attempt, play)  # type: ignore[no-any-return]


def one_job(world: World, *pages: Sequence[ImageItem], **options: Any) -> tuple[int, Verdicts]:  # noqa: F811
    job = world.insert(["cat"], 10, options)
    world.tick(2)
    return job, crawl(world, world.node.scheduled[-1], *pages)


def kept(world: World, job: int) -> list[Any]:  # noqa: F811
    """Its images, in order."""

    async def read(connection: AsyncConnection) -> Any:
        places = sorted(await images.places(connection, job, 0, 100), key=lambda row: row.position)
        return await images.get(connection, [row.id for row in places])

    return in_database(world, read)  # type: ignore[no-any-return]


def in_database(world: World, work: Callable[[AsyncConnection], Awaitable[Any]]) -> Any:  # noqa: F811
    url = world.settings.database_url
    assert url is not None
    return asyncio.run(in_transaction(url.get_secret_value(), work))


def test_a_copy_is_dropped_for_the_first_one_and_its_place_told(world: World) -> None:  # noqa: F811
    first = [found("a", 1, creator="Ada", license_url=CC0), found("b", 2)]
    later = [found("a2", 1, quality=60, creator="Bob", license="by", page_url="https://b.example"), found("c", 3)]
    job, verdicts = one_job(world, first, [*later, found("a3", 1)])
    assert verdicts == {
        **dict.fromkeys("abc"),
        "a2": Reason.NEAR_DUPLICATE,
        "a3": Reason.DUPLICATE_BYTES,
    }
    image = kept(world, job)[0]
    told = {each["url"]: each for each in image["metadata"]["also_found"]}
    assert told["https://pictures.example/a2.jpg"] == {
        "source": "openverse",
        "url": "https://pictures.example/a2.jpg",
        "page_url": "https://b.example",
        "creator": "Bob",
        "licence": "by",
    }
    rows = world.sql(
        "SELECT duplicate_of, distance, likeness > 0.95 FROM crawler.candidates WHERE job = %s"
        " AND duplicate_of IS NOT NULL ORDER BY decision",
        (job,),
    )
    assert [(of, near) for of, _, near in rows] == [(image["id"], None), (image["id"], True)]
    assert rows[0][1] == 0
    assert 0 <= rows[1][1] < 60
    [group] = in_database(world, lambda connection: copies.groups(connection, job))
    assert (group.image, group.url) == (image["id"], "https://pictures.example/a.jpg")
    assert [(each.url[25:-4], each.decision) for each in group.dropped] == [
        ("a2", "near_duplicate"),
        ("a3", "duplicate_bytes"),
    ]


def test_a_better_copy_takes_the_place_of_the_kept_one(world: World) -> None:  # noqa: F811
    small = [found("small", 1, width=400, creator="Ada"), found("other", 2)]
    large = [found("large", 1, width=800), found("larger", 1, width=900)]
    free = [found("free", 1, width=800, quality=70, license_url=CC0), found("freer", 2, quality=70, license_url=CC0)]
    job, verdicts = one_job(world, small, large, free)
    assert verdicts == {"small": None, "other": None, "large": None, "larger": Reason.NEAR_DUPLICATE} | {
        "free": None,
        "freer": None,
    }
    rows = kept(world, job)
    assert [row["original_url"][25:-4] for row in rows] == ["free", "freer"], "places stay"
    assert [row["metadata"]["position"] for row in rows] == [1, 2]
    assert {each["url"][25:-4] for each in rows[0]["metadata"]["also_found"]} == {"small", "large", "larger"}
    assert world.decisions(job) == {"kept": 2, "replaced": 3, "near_duplicate": 1}
    assert world.sql("SELECT kept FROM crawler.jobs WHERE id = %s", (job,)) == [(2,)]
    assert world.sql("SELECT count(*) FILTER (WHERE is_duplicate), count(*) FROM public.images") == [(3, 5)]
    assert world.sql("SELECT image_id FROM crawler.fingerprints ORDER BY 1") == sorted((row["id"],) for row in rows)
    [(of,)] = world.sql("SELECT DISTINCT duplicate_of FROM crawler.candidates WHERE decision = 'near_duplicate'")
    assert of == rows[0]["id"], "who was dropped for a replaced one is dropped for the better one"


@pytest.mark.usefixtures("small_runs")
def test_what_a_run_that_has_ended_kept_can_be_replaced(world: World) -> None:  # noqa: F811
    job = world.insert(["cat"], 4, {"sources": ["openverse", "commons"]})
    world.tick(2)
    [first, second] = world.node.scheduled
    crawl(world, first, [found("small", 1, width=400)])
    assert crawl(world, second, [found("large", 1, width=800)]) == {"large": None}
    funnels = world.sql("SELECT funnel->'kept', funnel->'reasons' FROM crawler.runs ORDER BY id LIMIT 2")
    assert sorted(funnels, key=str) == sorted([(0, {"replaced": 1}), (1, {})], key=str)
    assert world.sql("SELECT kept FROM crawler.jobs WHERE id = %s", (job,)) == [(1,)]


@pytest.mark.parametrize(
    ("scope", "expected"), [("job", None), ("project", Reason.NEAR_DUPLICATE), ("owner", Reason.NEAR_DUPLICATE)]
)
def test_the_first_job_of_a_scope_wins(world: World, scope: str, expected: Reason | None) -> None:  # noqa: F811
    first, _ = one_job(world, [found("small", 1, width=400)], scope=scope)
    second, verdicts = one_job(world, [found("large", 1, width=1000)], scope=scope)
    assert verdicts == {"large": expected}
    assert [row["original_url"] for row in kept(world, first)] == ["https://pictures.example/small.jpg"]
    of = world.sql("SELECT duplicate_of FROM crawler.candidates WHERE job = %s", (second,))
    assert of == [(kept(world, first)[0]["id"] if expected else None,)]


def test_a_job_says_what_it_takes_for_a_copy(world: World) -> None:  # noqa: F811
    pair = [found("a", 1), found("b", 1, quality=60)]
    assert one_job(world, pair, duplicates="exact")[1] == {"a": None, "b": None}
    wrong = world.insert(["cat"], 10, {"duplicates": "somewhat"})
    world.tick(2)
    assert "there is no preset 'somewhat'" in world.state(wrong)[3]


def test_codes_of_another_algorithm_are_not_compared(world: World) -> None:  # noqa: F811
    one_job(world, [found("a", 1)], scope="project")
    world.sql("UPDATE crawler.fingerprints SET algorithm = 1")
    _, verdicts = one_job(world, [found("b", 1, quality=60), found("c", 1)], scope="project")
    assert verdicts == {"b": None, "c": Reason.DUPLICATE_BYTES}


def test_kept_pictures_that_resemble_each_other_are_grouped(world: World) -> None:  # noqa: F811
    items = [found("a", 1), found("b", 1, quality=60), found("c", 2), found("d", 3), found("e", 1, quality=70)]
    job, _ = one_job(world, items, duplicates="exact")
    ids = {row["original_url"][25:-4]: row["id"] for row in kept(world, job)}
    name = f"alike-{ids['a']}"
    groups = in_database(world, lambda connection: copies.alike(lambda question: question(connection), job))
    assert groups == {ids[each]: name for each in "abe"}


RACERS = 8


def test_of_copies_that_race_one_is_kept(settings: Config, world: World) -> None:  # noqa: F811
    jobs = [world.insert(["cat"], 20, {"scope": "project"}) for _ in range(RACERS)]
    world.tick(2, scrapyd_nodes=(f"{world.node.url}#{RACERS}",))
    start = asyncio.Barrier(RACERS)

    async def race(attempt: str, number: int) -> None:
        async with ledger(settings, attempt) as book:
            assert await book.open()
            page = [found(f"{seed}-{number}", seed, quality=60 + 4 * number, width=320) for seed in range(6)]
            await book.add_page("cat", page, 1, Spent.EXHAUSTED)
            await book.begin(page)
            await start.wait()
            for some in (page[:2], page[2:4], page[4:]):
                await asyncio.gather(*(book.keep(item) for item in some))
            await book.close(Outcome(AttemptState.SHORT, "had no more"))

    async def all_at_once(attempts: list[str]) -> None:
        assert len(attempts) == RACERS
        await asyncio.gather(*(race(attempt, number) for number, attempt in enumerate(attempts)))

    asyncio.run(all_at_once(world.node.scheduled))
    urls = [row["original_url"] for job in jobs for row in kept(world, job)]
    assert sorted(int(url.rpartition("/")[2].partition("-")[0]) for url in urls) == list(range(6))
    decisions = [world.decisions(job) for job in jobs]
    assert sum(each.get("near_duplicate", 0) for each in decisions) == 6 * (RACERS - 1)
