"""One job, followed by its trace: from its row through every log to its pictures, and counted on the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil
import pytest
from end_to_end.conftest import System
from loopback import Web
from prometheus_client.parser import text_string_to_metric_families

from pixcrawler.services import free_port


@pytest.fixture
def variables() -> dict[str, str]:
    return {"LOG_FORMAT": "json", "PIXCRAWLER_METRICS_PORT": str(free_port())}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def told(url: str) -> dict[tuple[str, ...], float]:
    """Samples by name and values of labels, in the order of the labels' names."""
    with urlopen(url) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        families = text_string_to_metric_families(answer.read().decode())
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


def test_a_job_is_seen_everywhere(system: System, source: Web) -> None:
    source.results["otter"] = [*source.photos(4), source.put("/small.jpg", b"none")]
    job = system.insert(["otter"], 4)
    assert system.ended(job) == "completed"
    [(trace,)] = system.sql("SELECT trace FROM crawler.jobs WHERE id = %s", (job,))
    assert len(trace) == len(trace.strip()) == 32
    assert int(trace, 16)
    assert {row[0] for row in system.sql("SELECT metadata->>'trace' FROM public.images")} == {trace}
    assert {row[0] for row in system.sql("SELECT metadata->>'trace' FROM public.notifications")} == {trace}

    logs = system.folder / "logs"
    stored = system.folder / "storage" / "jobs" / str(job) / "logs"
    system.until(lambda: system.sql("SELECT id FROM crawler.jobs WHERE swept_at IS NOT NULL"))
    system.until(lambda: (stored / "1-1.log.gz").exists())
    for name in ("dispatcher", "exporter", "scrapyd", "crawl/pixcrawler/openverse/1-1"):
        said = lines(logs / f"{name}.log")
        assert said
        assert not [line for line in said if not line.keys() >= {"time", "level", "logger", "message"}]
    about = {"job": job, "run": 1, "attempt": 1, "trace": trace}
    assert said[-1].items() >= about.items()
    statistics = json.loads((stored / "1-1.json").read_text())
    assert statistics["trace"] == trace
    assert statistics["scrapy"]["finish_reason"] == "finished"
    assert statistics["ending"] == "ended with status 0"

    assert system.process is not None
    parts = psutil.Process(system.process.pid).children(recursive=True)
    sockets = [socket for part in parts for socket in part.net_connections() if socket.status == psutil.CONN_LISTEN]
    assert len(sockets) == 5  # the node, the API, and the metrics of dispatcher, exporter and API
    assert {socket.laddr.ip for socket in sockets} == {"127.0.0.1"}

    port = int(system.env["PIXCRAWLER_METRICS_PORT"])
    node = told(f"{system.node}/metrics")
    assert node["pixcrawler_images_total", "kept", "openverse"] == 4
    assert node["pixcrawler_request_seconds_count", "page", "openverse"] == 1
    assert node["pixcrawler_request_seconds_count", "image", "openverse"] >= 4
    assert node["pixcrawler_upload_seconds_count", "openverse"] == 4
    assert node["pixcrawler_received_bytes_total", "openverse"] > 4_000
    assert node[("pixcrawler_node_slots",)] == 2
    dispatcher, exporter = told(f"http://127.0.0.1:{port}/metrics"), told(f"http://127.0.0.1:{port + 1}/metrics")
    assert dispatcher["pixcrawler_jobs_ended", "full"] == exporter["pixcrawler_jobs_ended", "full"] == 1
    assert dispatcher["pixcrawler_node_answers", system.node.removeprefix("http://")] == 1
    assert dispatcher[("pixcrawler_statement_seconds_count",)] > 0
    assert exporter[("pixcrawler_export_seconds_count",)] == 1
    assert exporter[("pixcrawler_export_bytes_total",)] > 4_000
