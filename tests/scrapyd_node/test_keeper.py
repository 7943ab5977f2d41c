"""What crawls leave on a node is counted and copied, however they end."""

from __future__ import annotations

import gzip
import json
import os
import signal
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from scrapyd_node.nodes import Node, Start
from scrapyd_node.played_runner import BUSY, GOOD, QUICK
from worlds import World

LONG_AGO = 3600.0  # seconds


def leave(node_folder: Path, job: str, kept: int | None = None) -> Path:
    """A log, and the statistics that its crawl would have written."""
    folder = node_folder / "logs" / "pixcrawler" / "openverse"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{job}.log").write_text(f"what {job} said\n")
    file = folder / f"{job}.json"
    if kept is not None:
        counted = [["pixcrawler_images_total", {"source": "openverse", "outcome": "kept"}, kept]]
        file.write_text(json.dumps({"job": 7, "trace": "abc", "counted": counted}))
    return file


def kept(node: Node) -> float | None:
    """How many pictures the node's crawls have kept."""
    answer = node.get("metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    told = {
        (family.name, *one.labels.values()): one.value
        for family in text_string_to_metric_families(answer.text)
        for one in family.samples
    }
    assert told[("pixcrawler_node_wedged",)] == 0
    return told.get(("pixcrawler_images", "kept", "openverse"))


def test_a_killed_crawl_is_counted_and_its_log_copied(scrapyd: Start, tmp_path: Path) -> None:
    left = leave(tmp_path / "node", "11-1", 1)
    os.utime(left, (left.stat().st_mtime - LONG_AGO,) * 2)  # its node was killed, long ago
    fresh = leave(tmp_path / "node", "12-1", 2)  # of another node that writes here
    node = scrapyd(PIXCRAWLER_DATA_DIR=str(tmp_path))
    stored = tmp_path / "storage" / "jobs" / "7" / "logs"
    node.until(lambda: not left.exists())
    assert gzip.decompress((stored / "11-1.log.gz").read_bytes()) == b"what 11-1 said\n"
    assert kept(node) is None

    node.run(f"{BUSY}-1")
    file = leave(node.folder, f"{BUSY}-1", 5)
    assert kept(node) == 5
    node.cancel(f"{BUSY}-1", signal="KILL")
    node.until(lambda: not file.exists())
    assert kept(node) == 5  # still, and for good
    node.until(lambda: (stored / f"{BUSY}-1.log.gz").exists())
    statistics = json.loads((stored / f"{BUSY}-1.json").read_text())
    assert statistics == {"job": 7, "trace": "abc", "ending": "was killed by signal 9"}
    assert fresh.exists()

    node.run(f"{GOOD}-1")
    leave(node.folder, f"{GOOD}-1", 1)
    node.signal(signal.SIGTERM)  # what its last crawls said is in storage when it is gone
    assert node.process is not None
    node.process.wait()
    assert json.loads((stored / f"{GOOD}-1.json").read_text())["ending"] == "ended with status 0"
    assert (stored / f"{GOOD}-1.log.gz").exists()


def test_of_a_crawl_that_counted_nothing_the_log_is_copied_too(
    scrapyd: Start, world: World, database_url: str, tmp_path: Path
) -> None:
    job = world.insert(["cat"], 10)
    world.tick()
    assert world.sql("SELECT id FROM crawler.runs") == [(QUICK,)]
    leave(tmp_path / "node", f"{QUICK}-1")
    node = scrapyd(PIXCRAWLER_DATA_DIR=str(tmp_path), DATABASE_URL=database_url)
    node.run(f"{QUICK}-1")
    stored = tmp_path / "storage" / "jobs" / str(job) / "logs"
    log: Any = node.until(lambda: next(stored.glob("*.log.gz"), None))
    assert gzip.decompress(log.read_bytes()) == b"what 1-1 said\n"


def test_where_nothing_can_be_stored_logs_stay(scrapyd: Start, tmp_path: Path) -> None:
    (tmp_path / "storage").write_text("in the place of a folder")
    node = scrapyd(PIXCRAWLER_DATA_DIR=str(tmp_path))
    left = leave(tmp_path / "node", f"{QUICK}-1", 3)
    node.run(f"{QUICK}-1")
    node.until(lambda: "stays on this node for now" in node.log)
    assert left.exists()
    assert kept(node) == 3
    assert "Traceback" not in node.log
