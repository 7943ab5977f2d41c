"""How an export is built: room, order, pages, progress; and when it is not to be built any more."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
import zipfile
from collections import namedtuple
from typing import Any

import pytest
from packing import crawled, export, exports, extended, files, packed, path_of
from worlds import World

from pixcrawler.errors import DatabaseUnavailable
from pixcrawler.export import building, lease
from pixcrawler.export.building import Builder
from pixcrawler.storage.local import LocalStorage

Usage = namedtuple("Usage", "total used free")


def while_reading(monkeypatch: pytest.MonkeyPatch, number: int, happens: Any) -> list[str]:
    """Has something happen before a picture is read, the first being 1. Returns the keys that were read."""
    asked: list[str] = []
    read = LocalStorage.read

    def watched(self: LocalStorage, key: str) -> bytes:
        asked.append(key)
        if len(asked) == number:
            happens()
        return read(self, key)

    monkeypatch.setattr(LocalStorage, "read", watched)
    return asked


def until(condition: Any) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_job_waits_for_all_its_formats(world: World) -> None:
    job = crawled(world, options={"formats": ["zip", "7z"], "export": {"max_side": 64}})
    export(world)
    world.tick()
    assert world.state(job)[0] == "exporting"
    export(world)
    world.tick()
    assert world.state(job)[0] == "completed"
    assert world.sql("SELECT version, format, tier, options, awaited, pictures FROM crawler.exports ORDER BY id") == [
        (1, "zip", "hot", {"max_side": 64}, True, 3),
        (2, "7z", "warm", {"max_side": 64}, True, 3),
    ]


@pytest.mark.parametrize("options", [{"formats": ["rar"]}, {"formats": []}, {"export": {"max_side": "huge"}}])
def test_formats_and_options_are_checked_when_a_job_is_claimed(world: World, options: dict[str, Any]) -> None:
    job = world.insert(["cat"], options=options)
    world.tick()
    state, _, _, reason = world.state(job)
    assert (state, bool(reason)) == (("crawling", False) if options == {"formats": []} else ("failed", True))


def test_without_room_nothing_is_built(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job = crawled(world, options={"formats": ["zip", "7z"]})
    asked = while_reading(monkeypatch, 0, None)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9 - 5000, 5000))
    export(world, steps=3)
    world.tick()
    [(state, reason), other] = world.sql("SELECT state, reason FROM crawler.exports ORDER BY id")
    assert state == "failed"
    assert reason.startswith("needs ")
    assert reason.endswith(f", 5.0 kB free at {world.settings.data_dir / 'tmp'}")
    assert other == ("cancelled", None)
    assert world.state(job)[3] == reason
    assert asked == []


def test_pictures_come_by_position_whatever_their_rows_are(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "PLACES", 2)
    monkeypatch.setattr(building, "ROWS", 2)
    crawled(world, 5)
    world.sql("UPDATE public.images SET metadata = jsonb_set(metadata, '{position}', to_jsonb(6 - id))")
    names = "lpad((6 - id)::text, 6, '0') || substr(split_part(filename, '/', 2), 7)"
    world.sql(f"UPDATE public.images SET filename = 'cat/' || {names}")
    export(world)
    [(key,)] = world.sql("SELECT key FROM crawler.exports")
    with zipfile.ZipFile(path_of(world, key)) as archive:
        lines = [json.loads(line) for line in archive.read("metadata.jsonl").splitlines()]
    hashes = [sha256 for (sha256,) in world.sql("SELECT hash FROM public.images ORDER BY id DESC")]
    assert [line["file_name"][:10] for line in lines] == [f"cat/{n:06d}" for n in range(1, 6)]
    assert [line["file_name"][11:23] for line in lines] == [sha256[:12] for sha256 in hashes]


def test_how_far_it_is_can_be_seen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    crawled(world, 4)
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.02)
    seen: list[int] = []

    def look() -> None:
        until(lambda: world.sql("SELECT progress FROM crawler.exports")[0][0] > 0)
        seen.extend(percent for (percent,) in world.sql("SELECT progress FROM crawler.exports"))

    while_reading(monkeypatch, 4, look)
    export(world)
    assert 0 < seen[0] < 100
    assert world.sql("SELECT state, progress FROM crawler.exports") == [("done", 100)]


@pytest.mark.parametrize(
    "loss",
    [
        "UPDATE crawler.exports SET tries = 2, lease_until = now() + interval '1 hour'",
        "UPDATE crawler.exports SET state = 'cancelled', ended_at = now()",
    ],
    ids=["somebody else has it", "its job was cancelled"],
)
def test_what_is_not_ours_any_more_is_not_built_to_its_end(
    world: World, monkeypatch: pytest.MonkeyPatch, loss: str
) -> None:
    job = crawled(world, 12)
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.02)

    def lose() -> None:
        world.sql(loss)
        time.sleep(0.5)  # some beats

    asked = while_reading(monkeypatch, 2, lose)
    export(world)
    assert len(asked) < 12
    assert len(files(world, job)) == 12
    assert world.sql("SELECT state FROM crawler.exports WHERE state NOT IN ('building', 'cancelled')") == []
    assert not any((world.settings.data_dir / "tmp").iterdir())


def test_a_job_that_is_taken_up_again_cancels_what_was_asked_of_it(world: World) -> None:
    job = packed(world)
    world.sql(
        "INSERT INTO crawler.exports (job, generation, version, format, tier, awaited, state)"
        " VALUES (%s, 1, 2, '7z', 'warm', false, 'pending')",
        (job,),
    )
    extended(world, job, 4)
    assert exports(world) == [("zip", "hot", "done"), ("7z", "warm", "cancelled"), ("zip", "hot", "done")]


def test_a_job_that_completes_before_its_exporter_hears_of_it_keeps_its_file(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = crawled(world)
    publish = Builder._publish

    async def is_not_heard(self: Builder, *given: Any) -> bool:
        monkeypatch.undo()
        await self._persist(lambda connection: publish(self, connection, *given[1:]))
        await world._tick(1, world.settings)
        raise DatabaseUnavailable("the connection broke")

    monkeypatch.setattr(Builder, "_publish", is_not_heard)
    export(world)
    assert world.state(job)[0] == "completed"
    [(key,)] = world.sql("SELECT key FROM crawler.exports WHERE state = 'done'")
    assert path_of(world, key).exists()


def test_the_sum_of_several_files_is_what_sha256sum_says(world: World) -> None:
    packed(world, options={"formats": ["webdataset"]})
    [(key, sha256, several)] = world.sql("SELECT key, sha256, files FROM crawler.exports")
    lines = "".join(f"{file['sha256']}  {file['name']}\n" for file in several)
    assert hashlib.sha256(lines.encode()).hexdigest() == sha256
    for file in several:
        body = path_of(world, f"{key}/{file['name']}").read_bytes()
        assert (len(body), hashlib.sha256(body).hexdigest()) == (file["size"], file["sha256"])
