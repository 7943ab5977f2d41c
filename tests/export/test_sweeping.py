"""The sweeper: everything that belongs to nothing, nothing that belongs to something, and no lock meanwhile."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from pathlib import Path
from typing import Any

import pytest
from packing import AT_ONCE, crawled, doing, export, files, keeping, packed, path_of, sweep
from pictures import encoded, photo
from worlds import World

from pixcrawler.db import jobs
from pixcrawler.errors import StorageFailed
from pixcrawler.jobs import Tier
from pixcrawler.storage.local import LocalStorage

DAY = 24 * 3600


def stray(world: World, job: int, number: int, tier: Tier = Tier.HOT, age: float = 0) -> Path:
    """A picture that lost a race, so many seconds ago."""
    folder = world.settings.data_dir / ("storage" if tier is Tier.HOT else "storage-warm")
    path = folder / "jobs" / str(job) / "images" / "00" / f"{number:064d}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"lost a race")
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def retry(world: World, job: int) -> None:
    terms = {"deadline_seconds": 3600.0, "jobs_by_credits": world.settings.jobs_by_credits}
    doing(world, lambda connection: jobs.extend(connection, job, 5, **terms))


def swept(world: World) -> list[tuple[Any, ...]]:
    return world.sql("SELECT swept_at IS NOT NULL, sweep_until FROM crawler.jobs ORDER BY id")


def test_of_a_thousand_files_the_old_ones_go_that_belong_to_nothing(world: World) -> None:
    job = packed(world, options={"formats": ["zip", "7z", "webdataset"]})
    needed = files(world, job), files(world, job, Tier.WARM)
    old = [stray(world, job, number, age=DAY + 60) for number in range(700)]
    old += [stray(world, job, number, Tier.WARM, age=DAY + 60) for number in range(100)]
    young = [stray(world, job, 1000 + number, age=DAY - 60) for number in range(200)]
    for key in needed[0]:
        os.utime(path_of(world, key), (0, 0))
    sweep(world, sweep_seconds=DAY)  # it ended a moment ago: nobody has left anything yet
    assert all(path.exists() for path in old)
    world.sql("UPDATE crawler.jobs SET finished_at = now() - interval '2 days'")
    world.sql("UPDATE crawler.exports SET ended_at = now() - interval '2 days'")
    sweep(world, sweep_seconds=DAY)
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in young)
    assert set(needed[0]) < set(files(world, job))
    assert needed[1] == files(world, job, Tier.WARM)
    assert swept(world) == [(True, None)]


def test_what_a_failed_try_has_left_goes_once_nobody_builds(world: World) -> None:
    job = crawled(world)
    left = world.settings.data_dir / "storage" / "jobs" / str(job) / "exports" / "1.1" / "dataset.zip"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half of it")
    world.sql("UPDATE crawler.exports SET state = 'building', tries = 1, lease_until = now() - interval '1 second'")
    sweep(world)
    assert left.exists()
    export(world)
    world.tick()
    sweep(world)
    assert not left.exists()
    assert [key for key in files(world, job) if "/exports/" in key] == [f"jobs/{job}/exports/1.2/dataset.zip"]


def test_a_job_that_is_taken_up_again_is_swept_no_further(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job = packed(world)
    strays = [stray(world, job, number) for number in range(20)]
    delete = LocalStorage.delete

    async def taken_up_meanwhile(self: LocalStorage, key: str) -> None:
        monkeypatch.undo()
        await delete(self, key)
        await asyncio.to_thread(retry, world, job)

    monkeypatch.setattr(LocalStorage, "delete", taken_up_meanwhile)
    sweep(world, heartbeat_seconds=AT_ONCE)
    assert sum(path.exists() for path in strays) == len(strays) - 1
    assert swept(world) == [(False, None)]


def test_what_a_new_generation_stores_again_is_not_swept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same picture under the same key: found to be of no use, then stored and kept by a new crawl."""
    job = packed(world)
    digest = hashlib.sha256(encoded(photo(3))).hexdigest()
    path = path_of(world, f"jobs/{job}/images/{digest[:2]}/{digest}.jpg")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"what a crawl left behind")
    delete = LocalStorage.delete

    async def crawled_meanwhile(self: LocalStorage, key: str) -> None:
        monkeypatch.undo()
        await asyncio.to_thread(retry, world, job)
        await world._tick(3, world.settings)
        assert world.node.scheduled == ["1-1"]  # the new run waits
        await delete(self, key)

    monkeypatch.setattr(LocalStorage, "delete", crawled_meanwhile)
    sweep(world, heartbeat_seconds=AT_ONCE)
    assert not path.exists()
    world.tick()
    assert world.node.scheduled == ["1-1", "2-1"]
    world.crawl("2-1", keeping(world, 3, 4))
    world.tick(2)
    export(world)
    world.tick()
    assert world.state(job)[:2] == ("completed", 5)
    assert path.exists()


def test_no_transaction_is_open_while_storage_works(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job = packed(world)
    stray(world, job, 1)
    seen: list[int] = []
    entries, delete = LocalStorage.entries, LocalStorage.delete

    async def listing(self: LocalStorage, prefix: str) -> Any:
        async for entry in entries(self, prefix):
            seen.extend(number for (number,) in world.sql(OPEN))
            yield entry

    async def deleting(self: LocalStorage, key: str) -> None:
        seen.extend(number for (number,) in world.sql(OPEN))
        await delete(self, key)

    monkeypatch.setattr(LocalStorage, "entries", listing)
    monkeypatch.setattr(LocalStorage, "delete", deleting)
    sweep(world)
    assert len(seen) == 6  # five files, one of them deleted
    assert not any(seen)


OPEN = """
    SELECT count(*) FROM pg_stat_activity
    WHERE application_name = 'pixcrawler exporter' AND state LIKE 'idle in transaction%'
"""


def test_storage_that_fails_is_tried_again_later_and_holds_up_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = packed(world), packed(world)
    strays = [stray(world, job, 1) for job in (first, second)]

    entries = LocalStorage.entries

    async def fails(self: LocalStorage, prefix: str) -> Any:
        if prefix == f"jobs/{first}/":
            raise StorageFailed("the disk is broken")
        async for entry in entries(self, prefix):
            yield entry

    monkeypatch.setattr(LocalStorage, "entries", fails)
    sweep(world)
    assert [path.exists() for path in strays] == [True, False]
    assert [done for done, _ in swept(world)] == [False, True]
    monkeypatch.undo()
    world.sql("UPDATE crawler.jobs SET sweep_until = now()")
    sweep(world)
    assert not any(path.exists() for path in strays)
