"""`scrapy record`: what it writes is replayed like any other recording, once somebody has read it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback import PROJECT

from pixcrawler.demo.catalogue import Entry
from pixcrawler.demo.replicas import Replica, replica_of
from pixcrawler.demo.replicas.nasa import Nasa
from pixcrawler.demo.replicas.serving import serving
from pixcrawler.recordings import UNREVIEWED
from pixcrawler.sources import spiders

KEYWORD = "mountain lake"
REPLAY = PROJECT / "tests" / "spiders" / "test_recordings.py"
REPLAYED = "asks_and_reads or is_complete"  # the others want recordings of every source

Ended = subprocess.CompletedProcess[str]


def run(*command: str) -> Ended:
    here = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    ours = {"PYTHONPATH": str(PROJECT), "PIXCRAWLER_ALLOW_HOSTS": "127.0.0.1", "LOG_LEVEL": "ERROR"}
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=PROJECT, env=here | ours, capture_output=True, text=True, timeout=60
    )


def record(into: Path, *words: str) -> Ended:
    return run("scrapy", "record", *words, "--into", str(into))


def replay(recordings: Path) -> Ended:
    test = shutil.copy(REPLAY, recordings)
    return run("pytest", "-q", "--import-mode=importlib", "-p", "no:cacheprovider", str(test), "-k", REPLAYED)


def review(case: Path) -> None:
    """As a person does, hopefully with more attention."""
    expected = case / "expected.json"
    lines = expected.read_text("utf-8").splitlines()
    expected.write_text("\n".join(line for line in lines if UNREVIEWED not in line), "utf-8")


def arguments(replica: Replica) -> list[str]:
    return [word for name, value in replica.arguments(KEYWORD).items() for word in ("-a", f"{name}={value}")]


@pytest.fixture
def openverse() -> Iterator[Replica]:
    with serving(replica_of("openverse")) as replica:
        yield replica


def test_a_recording_is_refused_until_somebody_has_read_it(tmp_path: Path, openverse: Replica) -> None:
    recorded = record(tmp_path, "openverse", *arguments(openverse), "--case", "first_page")
    assert recorded.returncode == 0, recorded.stderr
    case = tmp_path / "openverse" / "first_page"
    assert recorded.stdout == f"{case}: 20 pictures; read it, then take out the line 'unreviewed'\n"
    assert not openverse.fetched, "a recording needs no picture"
    unread = replay(tmp_path)
    assert unread.returncode == 1
    assert "read it, then take out this line" in unread.stdout
    review(case)
    read = replay(tmp_path)
    assert (read.returncode, "2 passed" in read.stdout) == (0, True), read.stdout


class Careless(Nasa):
    """It has lost the files of its second picture."""

    def _files(self, entry: Entry) -> list[str]:
        return [] if self._number(entry) == 1 else super()._files(entry)


def test_every_kind_of_answer_is_recorded_and_replayed(tmp_path: Path, openverse: Replica) -> None:
    """Pages, look-ups, lists, and what cannot be read."""
    with serving(Careless(3)) as nasa:
        assert record(tmp_path, "nasa", *arguments(nasa)).returncode == 0
    (tmp_path / "lanterns.txt").write_text("https://pictures.example/a.jpg\nhttps://pictures.example/b.jpg\n")
    assert record(tmp_path, "urls", "-a", f"list={tmp_path}/lanterns.txt").returncode == 0
    openverse.mutations = dict([openverse.redesign])
    broken = record(tmp_path, "openverse", *arguments(openverse))
    assert broken.returncode == 0
    assert "20 of 20 records cannot be read" in broken.stdout

    cases = [path.parent for path in tmp_path.glob("*/*/expected.json")]
    names = ["recorded", *(f"recorded_{number}" for number in range(2, 5))]
    assert sorted(case.name for case in cases if case.parent.name == "nasa") == names
    shutil.move(tmp_path / "lanterns.txt", tmp_path / "elsewhere.txt")
    for case in cases:
        review(case)
    read = replay(tmp_path)
    assert (read.returncode, f"{2 * len(cases)} passed" in read.stdout) == (0, True), read.stdout


@pytest.mark.parametrize("words", [(), ("openvrese",), ("openverse", "nasa")], ids=["none", "misspelt", "two"])
def test_names_the_sources_there_are(tmp_path: Path, words: tuple[str, ...]) -> None:
    ended = record(tmp_path, *words)
    assert ended.returncode == 2
    assert ended.stderr == f"pixcrawler: record: expected one source of {', '.join(spiders())}\n"
    assert ended.stdout == ""


@pytest.mark.parametrize("there", ["first_page", "first_page_2"])
def test_nothing_is_written_over(tmp_path: Path, openverse: Replica, there: str) -> None:
    folder = tmp_path / "openverse" / there
    folder.mkdir(parents=True)
    ended = record(tmp_path, "openverse", *arguments(openverse), "--case", "first_page")
    assert ended.returncode == 2
    assert ended.stderr == f"pixcrawler: {folder} is there already; --case gives another name\n"
    assert not openverse.asked
    assert [*tmp_path.rglob("*.json")] == []


def test_who_does_not_answer_leaves_nothing_to_read(tmp_path: Path) -> None:
    ended = record(tmp_path, "openverse", "-a", f"keywords={KEYWORD}", "-a", "base_url=http://127.0.0.1:1")
    assert ended.returncode == 1
    assert ended.stderr.startswith("openverse gave no answer: does not answer (")
    assert [*tmp_path.iterdir()] == []
