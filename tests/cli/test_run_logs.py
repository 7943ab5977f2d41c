"""`pixcrawler jobs logs`: what crawl processes said, when their nodes are long gone."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from worlds import World, crawling, node, settings, world  # noqa: F401  # fixtures

from pixcrawler.jobs import Spent
from pixcrawler.storage import run_logs
from pixcrawler.storage.local import LocalStorage


@pytest.fixture
def job(world: World, data_dir: Path) -> int:  # noqa: F811
    """A job of two runs; the log of the first is in storage."""
    number = world.insert(["cat", "dog"], 40)
    world.tick()
    world.crawl("1-1", crawling(4, Spent.EXHAUSTED))
    storage = LocalStorage(data_dir / "storage")
    asyncio.run(run_logs.store(storage, number, "1-1", b"how it went\n", {"ending": "ended with status 0"}))
    return number


def test_what_is_kept_is_printed_and_where_the_rest_is(cli: Any, job: int, world: World) -> None:  # noqa: F811
    [(runs,)] = world.sql("SELECT count(*) FROM crawler.runs")
    printed = cli("jobs", "logs", job)
    assert printed.out == "==> run 1, attempt 1 <==\nhow it went\n\n"
    assert len(printed.err.splitlines()) == runs - 1
    assert all(world.node.url in line for line in printed.err.splitlines())
    assert cli("jobs", "logs", job, "--run", 1).err == ""
    [left] = json.loads(cli("jobs", "logs", job, "--json").out)
    assert left == {"run": 1, "attempt": 1, "log": "how it went\n", "stats": {"ending": "ended with status 0"}}


def test_what_is_not_there_is_one_line(cli: Any, job: int) -> None:
    assert cli("jobs", "logs", 99)[::2] == (2, "pixcrawler: there is no job 99; see: pixcrawler jobs list\n")
    assert cli("jobs", "logs", job, "--run", 99)[::2] == (2, f"pixcrawler: job {job} has no run 99\n")


def test_pruning_takes_the_logs_along(cli: Any, job: int, world: World, data_dir: Path) -> None:  # noqa: F811
    folder = data_dir / "storage" / "jobs" / str(job) / "logs"
    assert cli("db", "prune", "--delete").status == 0
    assert len(list(folder.iterdir())) == 2
    world.sql("UPDATE crawler.jobs SET state = 'completed', finished_at = now() - interval '100 days'")
    assert cli("db", "prune", "--delete").status == 0
    assert list(folder.iterdir()) == []
