"""The exporter beside others, with pictures that are gone, and with jobs that nobody wants any more."""

from __future__ import annotations

import hashlib
import json
import zipfile
from datetime import datetime
from typing import Any

import pytest
from packing import crawled, export, files, path_of
from worlds import World

from pixcrawler.db import engine
from pixcrawler.db import exports as statements
from pixcrawler.errors import DatabaseUnavailable
from pixcrawler.export.building import Builder


def tries(world: World) -> list[tuple[Any, ...]]:
    return world.sql("SELECT state, tries, reason FROM crawler.exports ORDER BY id")


def test_the_dataset_completes_the_job(world: World) -> None:
    job = crawled(world)
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


def test_two_exporters_build_it_once(world: World) -> None:
    job = crawled(world)
    export(world, exporters=2, steps=2)
    assert tries(world) == [("done", 1, None)]
    world.tick()
    assert world.job(job)["status"] == "completed"


def test_a_picture_that_is_gone_fails_the_job_after_three_tries(world: World) -> None:
    job = crawled(world)
    lost = path_of(world, files(world, job)[0])
    lost.unlink()
    export(world, steps=5)
    [(state, number, reason)] = tries(world)
    assert (state, number) == ("failed", 3)
    assert lost.stem[:12] in reason
    world.tick()
    assert world.job(job)["status"] == "failed"
    assert "could not be packed" in world.notices()[0][2]
    assert len(files(world, job)) == 2  # the pictures stay


def test_a_dead_exporter_is_followed(world: World) -> None:
    crawled(world)
    world.sql("UPDATE crawler.exports SET state = 'building', tries = 1, lease_until = now() + interval '1 hour'")
    export(world)
    assert tries(world) == [("building", 1, None)]
    world.sql("UPDATE crawler.exports SET lease_until = now() - interval '1 second'")
    export(world)
    assert tries(world) == [("done", 2, None)]


def test_an_exporter_that_dies_every_time_is_given_up(world: World) -> None:
    job = crawled(world)
    world.sql("UPDATE crawler.exports SET state = 'building', tries = 3, lease_until = now() - interval '1 second'")
    export(world)
    world.tick()
    assert world.job(job)["status"] == "failed"
    assert "died" in world.notices()[0][2]


def test_cancelled_while_it_is_packed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job = crawled(world)
    pack = Builder._load

    async def cancelled_meanwhile(self: Builder, *given: Any) -> Any:
        world.sql("UPDATE public.crawl_jobs SET status = 'cancelled' WHERE id = %s", (job,))
        await world._tick(1, world.settings)
        return await pack(self, *given)

    monkeypatch.setattr(Builder, "_load", cancelled_meanwhile)
    export(world)
    world.tick()
    assert world.job(job)["status"] == "cancelled"
    assert tries(world)[0][0] == "cancelled"
    assert not any(key.endswith(".zip") for key in files(world, job))


def test_a_commit_of_unknown_outcome_keeps_the_file(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    crawled(world)
    publish = statements.publish

    async def commits_and_is_not_heard(*arguments: Any) -> bool:
        monkeypatch.setattr(statements, "publish", publish)
        own = engine.create(str(world.settings.database_url.get_secret_value()), application_name="test", pool_size=1)
        async with engine.transaction(own) as elsewhere:
            assert await publish(elsewhere, *arguments[1:])
        await own.dispose()
        raise DatabaseUnavailable("the connection broke")

    monkeypatch.setattr(statements, "publish", commits_and_is_not_heard)
    export(world)
    [(state, key)] = world.sql("SELECT state, key FROM crawler.exports")
    assert state == "done"
    assert (world.settings.data_dir / "storage" / key).exists()
