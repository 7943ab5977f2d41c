"""A crawl and its ledger, played: who claims, who cancels, who loses the lease, and what is written at the end."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback import Crawl, Web, closed_port, crawl, finished, started, web

SCRIPT = Path(__file__).parents[1] / "played_crawl.py"
LEASE_LOST = 75


@pytest.fixture
def loopback() -> Iterator[Web]:
    with web() as server:
        yield server


def play(tmp_path: Path, server: Web, scenario: str, *more: str, **environment: str) -> Crawl:
    arguments = (scenario, "keywords=otter", f"base_url={server.address}", "max_images=5", *more)
    process = started(tmp_path, *arguments, command=(sys.executable, str(SCRIPT)), **environment)
    return finished(process, tmp_path)


def told(ended: Crawl) -> list[Any]:
    return [json.loads(line) for line in ended.output.splitlines()]


def test_fetches_nothing_when_the_attempt_is_not_its_own(tmp_path: Path, loopback: Web) -> None:
    ended = play(tmp_path, loopback, "NotOurs")
    assert ended.status == 0
    assert told(ended) == []
    assert not loopback.hits


def test_writes_how_it_ended(tmp_path: Path, loopback: Web) -> None:
    loopback.results = {"otter": loopback.photos(2)}
    assert told(play(tmp_path, loopback, "Telling"))[-1] == [
        "close",
        "short",
        "otter brought 2, its source has no more",
    ]


def test_takes_up_what_an_earlier_attempt_left(tmp_path: Path, loopback: Web) -> None:
    left = [loopback.address + path for path in loopback.photos(3)]
    loopback.results = {"otter": loopback.photos(22, 2000)}
    ended = play(tmp_path, loopback, "Resumed", f"urls={','.join(left)}")
    calls = told(ended)
    suspects = [call for call in calls if call[1] in left[:2]]  # one at a time, beside everything else
    assert suspects == [["begin", left[0]], ["keep", left[0]], ["begin", left[1]], ["keep", left[1]]]
    assert ["begin", left[2]] in calls[: calls.index(suspects[-1])]
    assert [path for path in loopback.hits if path.startswith("/v1/")] == [
        "/v1/images/?q=otter&page=2&page_size=20&mature=false"
    ]
    assert calls[-1] == ["close", "succeeded", ""]


def test_stops_when_the_job_is_cancelled(tmp_path: Path, loopback: Web) -> None:
    loopback.results = {"otter": [*loopback.photos(1), "/hang.jpg"]}
    loopback.put("/hang.jpg", fault="hang")
    ended = play(tmp_path, loopback, "Cancelled", PIXCRAWLER_HEARTBEAT_SECONDS="0.2")
    assert told(ended)[-1] == ["close", "cancelled", "the job was cancelled"]
    _, _, log = ended.log.partition("Spider opened")
    assert "DownloadTimeoutError" not in log  # what hangs was broken off, not waited for
    assert "Traceback" not in ended.log


@pytest.mark.parametrize("scenario", ["LostAtBeat", "LostAtPage", "LostAtKeep", "Silent", "Stuck"])
def test_writes_nothing_without_its_lease(tmp_path: Path, loopback: Web, scenario: str) -> None:
    loopback.results = {"otter": [*loopback.photos(1), *[f"/hang/{n}.jpg" for n in range(4)]]}
    for n in range(4):
        loopback.put(f"/hang/{n}.jpg", fault="hang")
    beat = "25" if scenario in ("LostAtPage", "LostAtKeep") else "0.5"
    ended = play(tmp_path, loopback, scenario, PIXCRAWLER_HEARTBEAT_SECONDS=beat)
    assert ended.status == (LEASE_LOST if scenario == "Stuck" else 0)
    assert "close" not in {call[0] for call in told(ended)}
    assert ended.log.count("Stopping at once") == 1
    assert "Traceback" not in ended.log


def test_leaves_a_barren_keyword(tmp_path: Path, loopback: Web) -> None:
    loopback.results = {"otter": loopback.photos(50)}
    calls = told(play(tmp_path, loopback, "Barren"))
    assert ["spent", "otter", "barren"] in calls
    assert calls[-1] == ["close", "short", "otter brought 0, hardly any of its last pictures was usable"]


def test_a_fault_of_our_own_is_no_rejection(tmp_path: Path, loopback: Web) -> None:
    loopback.results = {"otter": loopback.photos(1)}
    ended = play(tmp_path, loopback, "Broken")
    calls = told(ended)
    assert calls[-1] == ["close", "failed", "RuntimeError: a bug"]
    assert not [call for call in calls if call[0] in ("reject", "keep")]
    assert "a bug" in ended.log


def test_a_run_of_a_job_needs_its_database(tmp_path: Path) -> None:
    ended = crawl(tmp_path, "openverse", "-a", "_job=1-1")
    assert ended.status == 2
    assert "DATABASE_URL is not set" in ended.log.splitlines()[-1]
    url = f"postgresql://nobody@127.0.0.1:{closed_port()}/none"
    clocks = {"PIXCRAWLER_HEARTBEAT_SECONDS": "0.5", "PIXCRAWLER_FENCE_SECONDS": "1"}
    ended = crawl(tmp_path, "openverse", "-a", "_job=1-1", DATABASE_URL=url, **clocks)
    assert "Traceback" not in ended.log
    assert len([line for line in ended.log.splitlines() if "Ending: no connection" in line]) == 1


def test_an_impossible_setting_is_one_line(tmp_path: Path) -> None:
    ended = crawl(tmp_path, "openverse", "-a", "keywords=otter", PIXCRAWLER_MIN_SIDE="small")
    assert ended.status == 2
    assert "PIXCRAWLER_MIN_SIDE" in ended.log.splitlines()[-1]
    assert "Traceback" not in ended.log
