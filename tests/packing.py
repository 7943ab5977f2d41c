"""Jobs whose pictures are really stored, and what exporters do with them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pictures import encoded, photo
from worlds import World, pictures

from pixcrawler.db import engine, jobs
from pixcrawler.db.engine import transaction
from pixcrawler.db.ledger import PostgresLedger
from pixcrawler.export.loop import Exporter
from pixcrawler.export.revoking import Affected, Revoker
from pixcrawler.export.tiers import Tiers
from pixcrawler.imaging import inspect
from pixcrawler.jobs import AttemptState, Outcome, Spent, Tier
from pixcrawler.storage import open_storage
from pixcrawler.takedowns import Subject

AT_ONCE = 0.001  # seconds; nothing is too young to be swept


def url_of(world: World) -> str:
    assert world.settings.database_url is not None
    return world.settings.database_url.get_secret_value()


def keeping(world: World, *seeds: int, spent: Spent | None = Spent.EXHAUSTED) -> Any:
    """A crawl that finds and stores these pictures, and ends."""

    async def play(book: PostgresLedger) -> None:
        run = await book.open()
        assert run is not None
        storage = open_storage(world.settings)
        items = await book.add_page("cat", pictures(*seeds), 2, spent)
        await book.begin(items)
        for item in items:
            body = encoded(photo(int(Path(item.url).stem)))
            item.inspection, item.received = inspect(body), True
            digest = item.inspection.sha256
            item.storage_key = f"{run.storage_prefix}/images/{digest[:2]}/{digest}.jpg"
            item.storage_url = await storage.put(item.storage_key, body, "image/jpeg")
        await asyncio.gather(*map(book.keep, items))
        await book.close(Outcome(AttemptState.SUCCEEDED))

    return play


def crawled(world: World, number: int = 3, options: dict[str, Any] | None = None) -> int:
    """A job whose pictures are kept and stored, waiting for its dataset."""
    job = world.insert(["cat"], number, options)
    world.tick()
    run = world.sql("SELECT max(id) FROM crawler.runs")[0][0]
    world.crawl(f"{run}-1", keeping(world, *range(number)))
    world.tick(2)
    assert world.state(job)[0] == "exporting"
    return job


def packed(world: World, number: int = 3, options: dict[str, Any] | None = None) -> int:
    """A job that is completed."""
    job = crawled(world, number, options)
    export(world, steps=4)
    world.tick()
    assert world.state(job)[0] == "completed"
    return job


def extended(world: World, job: int, number: int) -> None:
    """The job, completed again with so many pictures."""
    before = world.state(job)[1]
    terms = {"deadline_seconds": 3600.0, "jobs_by_credits": world.settings.jobs_by_credits}
    doing(world, lambda connection: jobs.extend(connection, job, number, **terms))
    world.tick()
    run = world.sql("SELECT max(id) FROM crawler.runs")[0][0]
    world.crawl(f"{run}-1", keeping(world, *range(before, number)))
    world.tick(2)
    export(world, steps=4)
    world.tick()
    assert world.state(job)[:2] == ("completed", number)


def doing(world: World, work: Callable[[Any], Awaitable[Any]]) -> Any:
    """Something in a transaction."""

    async def connected() -> Any:
        own = engine.create(url_of(world), application_name="test", pool_size=1)
        try:
            async with transaction(own) as connection:
                return await work(connection)
        finally:
            await own.dispose()

    return asyncio.run(connected())


def export(world: World, steps: int = 1, exporters: int = 1, **changes: Any) -> None:
    """Exporters take so many steps of building each, then look for what is to be swept."""
    settings = world.settings.model_copy(update=changes)

    async def work() -> None:
        crew = [Exporter(url_of(world), settings) for _ in range(exporters)]
        for _ in range(steps):
            await asyncio.gather(*(one.build_next() for one in crew))
        for one in crew:
            while await one.sweep_next():
                pass
            await one.close()

    asyncio.run(work())


def sweep(world: World, **changes: Any) -> None:
    """Sweeps all that is due, however young."""
    export(world, steps=0, **{"sweep_seconds": AT_ONCE, **changes})


def exports(world: World) -> list[tuple[Any, ...]]:
    """Of every export: format, tier, state."""
    return world.sql("SELECT format, tier, state FROM crawler.exports ORDER BY id")


def files(world: World, job: int, tier: Tier = Tier.HOT) -> list[str]:
    """The keys of all files of a job."""

    async def stored() -> list[str]:
        return [entry.key async for entry in open_storage(world.settings, tier).entries(f"jobs/{job}/")]

    return sorted(asyncio.run(stored()))


def path_of(world: World, key: str) -> Path:
    """Where a file of the hot tier is."""
    return Path(world.settings.data_dir / "storage" / key)


@asynccontextmanager
async def revoker(world: World) -> AsyncIterator[Revoker]:
    own = engine.create(url_of(world), application_name="test", pool_size=1)
    try:
        yield Revoker(own, world.settings, Tiers(world.settings))
    finally:
        await own.dispose()


async def taking_back(world: World, subject: Subject) -> list[Affected]:
    """Pictures are taken back."""
    async with revoker(world) as one:
        return await one.carry_out(subject, reason="its author asks for it", booked_by="ann")


def take_back(world: World, subject: Subject) -> list[Affected]:
    """The same, for who does nothing meanwhile."""
    return asyncio.run(taking_back(world, subject))
