"""The exporter beside others, with pictures that are gone, and with jobs that nobody wants any more."""

from __future__ import annotations

import asyncio
import hashlib
import json
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pictures import encoded, photo
from worlds import World, pictures

from pixcrawler.db import engine
from pixcrawler.db import exports as statements
from pixcrawler.db.ledger import PostgresLedger
from pixcrawler.errors import DatabaseUnavailable
from pixcrawler.export.loop import Exporter
from pixcrawler.imaging import inspect
from pixcrawler.jobs import AttemptState, Outcome, Spent
from pixcrawler.storage import open_storage


def crawled(world: World, number: int = 3) -> int:
    """A job whose pictures are kept and stored, waiting for its dataset."""
    job = world.insert(["cat"], number)
    world.tick()

    async def play(book: PostgresLedger) -> None:
        run = await book.open()
        assert run is not None
        storage = open_storage(world.settings)
        items = await book.add_page("cat", pictures(*range(number)), 2, Spent.EXHAUSTED)
        await book.begin(items)
        for seed, item in enumerate(items):
            body = encoded(photo(seed))
            item.inspection, item.received = inspect(body), True
            digest = item.inspection.sha256
            item.storage_key = f"{run.storage_prefix}/images/{digest[:2]}/{digest}.jpg"
            item.storage_url = await storage.put(item.storage_key, body, "image/jpeg")
        await asyncio.gather(*map(book.keep, items))
        await book.close(Outcome(AttemptState.SUCCEEDED))

    world.crawl("1-1", play)
    world.tick(2)
    assert world.state(job)[0] == "exporting"
    return job


def export(world: World, steps: int = 1, exporters: int = 1, **changes: Any) -> None:
    settings = world.settings.model_copy(update=changes)

    async def work() -> None:
        assert settings.database_url is not None
        url = settings.database_url.get_secret_value()
        crew = [Exporter(url, settings) for _ in range(exporters)]
        for _ in range(steps):
            await asyncio.gather(*(one.build_next() for one in crew))
        for one in crew:
            await one.sweep_next()
            await one.close()

    asyncio.run(work())


def exports(world: World) -> list[tuple[Any, ...]]:
    return world.sql("SELECT state, tries, reason FROM crawler.exports ORDER BY id")


def files(world: World, job: int) -> list[Path]:
    folder = world.settings.data_dir / "storage" / "jobs" / str(job)
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_the_dataset_completes_the_job(world: World) -> None:
    job = crawled(world)
    stray = files(world, job)[0].with_name("0" * 64 + ".jpg")
    stray.write_bytes(b"lost a race")
    export(world)
    world.tick()
    assert world.job(job)["status"] == "completed"
    assert world.job(job)["progress"] == 100
    assert world.notices() == [("success", "Crawl Job Completed", "“pets”: all 3 images are ready")]
    [(key, sha256)] = world.sql("SELECT key, sha256 FROM crawler.exports")
    path = world.settings.data_dir / "storage" / key
    assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    with zipfile.ZipFile(path) as archive:
        assert sum(name.startswith("cat/") for name in archive.namelist()) == 3
        described = json.loads(archive.read("croissant.json"))
    [collected] = world.sql("SELECT min(created_at), max(ended_at) FROM crawler.runs")
    said = [datetime.fromisoformat(moment) for moment in described["rai:dataCollectionTimeframe"]]
    assert said == [moment.replace(microsecond=0) for moment in collected]
    export(world)  # which sweeps
    assert len(files(world, job)) == 4
    assert not stray.exists()


def test_a_sweep_that_has_lost_its_lock_deletes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job = crawled(world)
    export(world)
    world.tick()
    stray = files(world, job)[0].with_name("0" * 64 + ".jpg")
    stray.write_bytes(b"of a new generation, as far as the sweeper knows")
    keys = statements.keys

    async def loses_the_connection(*arguments: Any) -> set[str]:
        wanted = await keys(*arguments)
        world.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '%exporter'")
        return wanted

    monkeypatch.setattr(statements, "keys", loses_the_connection)
    world.sql("UPDATE crawler.jobs SET swept_at = NULL")
    with pytest.raises(DatabaseUnavailable):
        export(world)
    assert stray.exists()


def test_two_exporters_build_it_once(world: World) -> None:
    job = crawled(world)
    export(world, exporters=2, steps=2)
    assert exports(world) == [("done", 1, None)]
    world.tick()
    assert world.job(job)["status"] == "completed"


def test_a_picture_that_is_gone_fails_the_job_after_three_tries(world: World) -> None:
    job = crawled(world)
    lost = files(world, job)[0]
    lost.unlink()
    export(world, steps=5)
    [(state, tries, reason)] = exports(world)
    assert (state, tries) == ("failed", 3)
    assert lost.stem[:12] in reason
    world.tick()
    assert world.job(job)["status"] == "failed"
    assert "could not be packed" in world.notices()[0][2]
    assert len(files(world, job)) == 2  # the pictures stay


def test_a_dead_exporter_is_followed(world: World) -> None:
    crawled(world)
    world.sql("UPDATE crawler.exports SET state = 'building', tries = 1, lease_until = now() + interval '1 hour'")
    export(world)
    assert exports(world) == [("building", 1, None)]
    world.sql("UPDATE crawler.exports SET lease_until = now() - interval '1 second'")
    export(world)
    assert exports(world) == [("done", 2, None)]


def test_an_exporter_that_dies_every_time_is_given_up(world: World) -> None:
    job = crawled(world)
    world.sql("UPDATE crawler.exports SET state = 'building', tries = 3, lease_until = now() - interval '1 second'")
    export(world)
    world.tick()
    assert world.job(job)["status"] == "failed"
    assert "died" in world.notices()[0][2]


def test_cancelled_while_it_is_packed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job = crawled(world)
    pack = Exporter._load

    async def cancelled_meanwhile(self: Exporter, *given: Any) -> Any:
        world.sql("UPDATE public.crawl_jobs SET status = 'cancelled' WHERE id = %s", (job,))
        await world._tick(1, world.settings)
        return await pack(self, *given)

    monkeypatch.setattr(Exporter, "_load", cancelled_meanwhile)
    export(world)
    world.tick()
    assert world.job(job)["status"] == "cancelled"
    assert exports(world)[0][0] == "cancelled"
    assert not any(path.suffix == ".zip" for path in files(world, job))


def test_a_commit_of_unknown_outcome_keeps_the_file(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    crawled(world)
    publish = statements.publish

    async def commits_and_is_not_heard(*arguments: Any, **file: Any) -> bool:
        monkeypatch.setattr(statements, "publish", publish)
        own = engine.create(str(world.settings.database_url.get_secret_value()), application_name="test", pool_size=1)
        async with engine.transaction(own) as elsewhere:
            assert await publish(elsewhere, *arguments[1:], **file)
        await own.dispose()
        raise DatabaseUnavailable("the connection broke")

    monkeypatch.setattr(statements, "publish", commits_and_is_not_heard)
    export(world)
    [(state, key)] = world.sql("SELECT state, key FROM crawler.exports")
    assert state == "done"
    assert (world.settings.data_dir / "storage" / key).exists()
