import hashlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from packing import export, exports, files, packed, path_of, sweep
from worlds import World, node, settings, world

from pixcrawler.jobs import Tier

__all__ = ["node", "settings", "world"]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """That of the world."""
    return tmp_path


@pytest.fixture(autouse=True)
def _impatient(settings_env: Any) -> None:
    settings_env(PIXCRAWLER_POLL_SECONDS="0.02")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def whole_datasets(world: World, job: int) -> list[str]:
    """The formats in which the job has a dataset with all its files, each as it was packed."""
    rows = world.sql("SELECT format, tier, key, sha256 FROM crawler.exports WHERE job = %s AND state = 'done'", (job,))
    folders = {Tier.HOT: "storage", Tier.WARM: "storage-warm"}
    paths = {kind: (world.settings.data_dir / folders[Tier(tier)] / key, digest) for kind, tier, key, digest in rows}
    return [kind for kind, (path, digest) in paths.items() if path.is_file() and sha256(path) == digest]


# -- export


def test_the_dataset_is_copied(cli: Any, world: World, tmp_path: Path) -> None:
    job = packed(world)
    result = cli("export", job, "--out", tmp_path / "new" / "folder")
    copy = tmp_path / "new" / "folder" / f"job-{job}.zip"
    assert (result.status, result.out) == (0, f"{copy}\n")
    assert world.sql("SELECT sha256, pictures, progress FROM crawler.exports") == [(sha256(copy), 3, 100)]

    cli("jobs", "extend", job, "--max-images", 5)
    assert json.loads(cli("export", job, "--out", tmp_path, "--json").out)["version"] == 1  # until there is another
    result = cli("export", job, "--format", "7z")
    assert (result.status, result.err.count("\n")) == (1, 1)
    assert "is crawling" in result.err

    key = world.sql("SELECT key FROM crawler.exports")[0][0]
    path_of(world, key).write_bytes(b"other bytes")
    result = cli("export", job, "--out", tmp_path)
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert "have changed in storage" in result.err
    path_of(world, key).unlink()
    result = cli("export", job, "--out", tmp_path)
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert "dataset.zip" in result.err


def test_what_is_not_there_is_built_once_and_then_copied(cli: Any, world: World, tmp_path: Path) -> None:
    job = packed(world)
    for _ in range(2):
        result = cli("export", job, "--format", "webdataset", "--max-side", "64", "--out", tmp_path, "--json")
        assert result.status == 0, result.err
        told = json.loads(result.out)
        assert (told["format"], told["tier"], told["options"], told["version"]) == (
            "webdataset",
            "hot",
            {"max_side": 64},
            2,
        )
        assert len(told["files"]) > 1
        for file in told["files"]:
            path = Path(file["path"])
            assert path == tmp_path / f"job-{job}-webdataset" / file["name"]
            assert (path.stat().st_size, sha256(path)) == (file["size"], file["sha256"])
        assert told["size"] == sum(file["size"] for file in told["files"])
    assert exports(world) == [("zip", "hot", "done"), ("webdataset", "hot", "done")]
    assert world.sql("SELECT awaited FROM crawler.exports ORDER BY id") == [(True,), (False,)]
    links = cli("export", job, "--format", "webdataset", "--max-side", "64", "--link")
    assert [f"/jobs/{job}/exports/2.1/" in link for link in links.out.split()] == [True] * len(told["files"])
    seen = cli("jobs", "show", job).out
    for word in ("webdataset", "max_side=64", "hot", "done"):
        assert word in seen
    shown = json.loads(cli("jobs", "show", job, "--json").out)["exports"]
    assert [(e["format"], e["tier"], e["pictures"], e["options"]) for e in shown] == [
        ("zip", "hot", 3, {}),
        ("webdataset", "hot", 3, {"max_side": 64}),
    ]


def test_where_there_can_be_none_it_says_why(cli: Any, world: World, tmp_path: Path) -> None:
    job = world.insert(["cat"], 2)
    assert cli("export", job) == (1, "", f"pixcrawler: job {job} has not begun: there is nothing to export\n")
    world.tick()
    result = cli("export", job)
    assert (result.status, result.err) == (
        1,
        f"pixcrawler: job {job} is crawling: its dataset is there when it has ended\n",
    )
    world.sql("UPDATE public.crawl_jobs SET status = 'cancelled'")
    world.tick(3)
    result = cli("tier", job, "warm")
    assert (result.status, result.err) == (1, f"pixcrawler: job {job} has kept no image: there is nothing to export\n")
    assert exports(world) == []


def test_a_dataset_that_cannot_be_built_is_one_line(cli: Any, world: World, tmp_path: Path) -> None:
    job = packed(world)
    picture = path_of(world, next(key for key in files(world, job) if "/images/" in key))
    picture.unlink()
    result = cli("export", job, "--format", "7z", "--out", tmp_path)
    assert (result.status, result.err.count("\n")) == (1, 1)
    assert picture.stem[:12] in result.err
    assert exports(world)[1:] == [("7z", "warm", "failed")]


@pytest.mark.parametrize("wrong", [["--format=rar"], ["--max-side=0"], ["--split=train=2"], ["--rights=mine"]])
def test_wrong_wishes_are_refused(cli: Any, wrong: list[str]) -> None:
    result = cli("export", 1, *wrong)
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert "no job" not in result.err


def test_an_exporter_that_is_there_builds_it(start: Any, world: World, tmp_path: Path, wait_for: Any) -> None:
    job = packed(world)
    asking = start("export", job, "--format", "7z", "--out", tmp_path, PIXCRAWLER_POLL_SECONDS="1.5")
    wait_for(lambda: exports(world)[1:] == [("7z", "warm", "pending")])
    export(world)
    assert exports(world)[1:] == [("7z", "warm", "done")]
    out, err = asking.communicate(timeout=60)
    assert (asking.returncode, out, err) == (0, f"{tmp_path / f'job-{job}.7z'}\n", "")
    assert world.sql("SELECT tries FROM crawler.exports ORDER BY id") == [(1,), (1,)]


def test_who_loses_patience_leaves_it_to_the_next(start: Any, world: World, tmp_path: Path) -> None:
    job = packed(world)
    slow = path_of(world, next(key for key in files(world, job) if "/images/" in key))
    body = slow.read_bytes()
    slow.unlink()
    os.mkfifo(slow)
    asking = start("export", job, "--format", "7z", "--out", tmp_path, PIXCRAWLER_POLL_SECONDS="0.1")
    with slow.open("wb"):  # once somebody reads
        asking.send_signal(signal.SIGINT)
    out, err = asking.communicate(timeout=60)
    assert (asking.returncode, out, err) == (130, "", "")
    assert world.sql("SELECT state, tries, reason FROM crawler.exports ORDER BY id DESC LIMIT 1") == [
        ("pending", 0, None)
    ]
    assert not any((world.settings.data_dir / "tmp").iterdir())
    slow.unlink()
    slow.write_bytes(body)
    export(world)
    assert exports(world)[1:] == [("7z", "warm", "done")]


# -- tier


def test_a_dataset_moves_to_the_warm_tier_and_back(cli: Any, world: World) -> None:
    job = packed(world)
    cli("export", job, "--format", "jsonl", "--out", world.settings.data_dir)
    assert cli("tier", job, "warm").out == f"job {job}: 7z, version 3, warm\n"
    assert exports(world) == [("zip", "hot", "removed"), ("jsonl", "hot", "removed"), ("7z", "warm", "done")]
    assert not [key for key in files(world, job) if "/exports/" in key]
    assert len(files(world, job, Tier.WARM)) == 1
    assert cli("tier", job, "warm").out == f"job {job}: 7z, version 3, warm\n"

    assert cli("tier", job, "hot").out == f"job {job}: zip, version 4, hot\n"
    assert exports(world)[2:] == [("7z", "warm", "removed"), ("zip", "hot", "done")]
    assert files(world, job, Tier.WARM) == []
    assert whole_datasets(world, job) == ["zip"]


def test_a_seven_zip_that_was_asked_for_stays_when_the_dataset_is_hot_again(cli: Any, world: World) -> None:
    job = packed(world, options={"formats": ["zip", "7z"]})
    assert exports(world) == [("zip", "hot", "done"), ("7z", "warm", "done")]
    assert cli("tier", job, "warm").status == 0
    assert exports(world) == [("zip", "hot", "removed"), ("7z", "warm", "done")]
    assert cli("tier", job, "hot").status == 0
    assert whole_datasets(world, job) == ["7z", "zip"]


def test_whoever_is_killed_while_moving_leaves_a_whole_dataset(cli: Any, start: Any, world: World) -> None:
    job = packed(world)
    for point in ("exporter.built", "exporter.stored", "moving.published"):
        moving = start("tier", job, "warm", PIXCRAWLER_FAULT=f"{point}:1", PIXCRAWLER_POLL_SECONDS="0.02")
        _, err = moving.communicate(timeout=60)
        assert f"fault {point}" in err
        assert whole_datasets(world, job)
        world.sql("UPDATE crawler.exports SET lease_until = now(), tries = 1 WHERE state = 'building'")
        sweep(world)
        assert whole_datasets(world, job)
    assert cli("tier", job, "warm").status == 0
    assert whole_datasets(world, job) == ["7z"]
    sweep(world)
    assert len(files(world, job)) == 3  # the pictures
    assert len(files(world, job, Tier.WARM)) == 1


# -- retention


def test_retention_says_what_it_does(cli: Any, world: World, settings_env: Any) -> None:
    job = packed(world)
    cli("export", job, "--format", "csv", "--out", world.settings.data_dir)
    assert cli("retention").out == "nothing is due\n"
    settings_env(PIXCRAWLER_TEMPORARY_DAYS="5")
    assert cli("retention").out == "nothing is due\n"
    world.sql("UPDATE crawler.exports SET ended_at = now() - interval '6 days'")
    said = f"job {job}: csv, version 2, hot goes\n"
    assert cli("retention", "--dry-run").out == said
    assert exports(world)[1:] == [("csv", "hot", "done")]
    assert cli("retention").out == said
    assert exports(world) == [("zip", "hot", "done"), ("csv", "hot", "removed")]
    assert len(files(world, job)) == 4
