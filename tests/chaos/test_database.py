"""Line 7: the database goes away, throws everyone out, or refuses to commit."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from loopback import Web
from machines import Machine, disposable
from verdicts import WORK_SECONDS, Verdict, judge

from pixcrawler.db import schema
from pixcrawler.db.cluster import Cluster

Enter = Callable[[Verdict], None]

REFUSALS = "database.serialization:0.02,database.deadlock:0.02"  # of a tick's dozen transactions, one in three ticks


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A PostgreSQL of the test's own, which survives what is done to it."""
    folder = tmp_path / "postgres"
    folder.mkdir()
    cluster = Cluster(folder / "data")
    try:
        cluster.ensure_running()
        schema.initialise(cluster.url)
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def machine(cluster: Cluster, tmp_path: Path, source: Web, scale: Any) -> Iterator[Machine]:
    def sql(query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        with psycopg.connect(cluster.url, autocommit=True, application_name="test") as connection:
            cursor = connection.execute(query, parameters)
            return cursor.fetchall() if cursor.description else []

    machine = Machine(tmp_path, cluster.url, source, sql, scale.settings)
    machine.patience = scale.patience
    machine.source.latency = 0.3
    yield from disposable(machine)


def at_work(machine: Machine, scale: Any, **more: str) -> None:
    """Everything runs, and is in the middle of it."""
    machine.node(**more)
    machine.dispatcher(**more)
    machine.exporter(**more)
    for _ in range(scale.size(3, 12)):
        machine.job(scale.size(20, 30), bad=2)
    machine.until(lambda: machine.sql("SELECT count(*) FROM public.images")[0][0] >= 10)


def allowance(scale: Any) -> float:
    """A dispatcher may rest for half a minute between two looks at a database that is away."""
    return float(scale.clock("lease") + 30 + WORK_SECONDS + scale.size(0, 40))


def ends(machine: Machine) -> str:
    """How the services have ended."""
    return ", ".join(f"{part.name} ended {part.statuses}" for part in machine.parts if part.statuses)


@pytest.mark.whole
def test_it_is_away(machine: Machine, cluster: Cluster, scale: Any, verdict: Enter) -> None:
    at_work(machine, scale)
    cluster.stop()
    away = scale.seconds(60)
    began = time.monotonic()
    last = time.time()
    while time.monotonic() - began < away:
        machine.within(0.2)
        last = max([last, *(at for at, _ in machine.source.log[-1:])])
    quiet = last - (time.time() - away)
    cluster.ensure_running()
    remarks = f"away for {away:.0f} s, last request after {quiet:.1f} s"
    verdict(judge(machine, "7", "the database is away", 1, allowance(scale), "; ".join([remarks, ends(machine)])))
    assert quiet < scale.clock("fence") + 2, "crawls went on beyond their fence"


def test_it_throws_everyone_out(machine: Machine, scale: Any, verdict: Enter) -> None:
    at_work(machine, scale)
    thrown = 0
    until = time.monotonic() + scale.seconds(scale.size(20, 60))
    while time.monotonic() < until:
        [(number,)] = machine.sql(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'pixcrawler%'"
        )
        thrown += number
        machine.within(scale.seconds(5))
    verdict(judge(machine, "7", "all sessions terminated, again and again", thrown, allowance(scale), ends(machine)))
    assert thrown


def test_it_refuses_to_commit(machine: Machine, cluster: Cluster, tmp_path: Path, scale: Any, verdict: Enter) -> None:
    at_work(machine, scale, PIXCRAWLER_FAULT=REFUSALS)
    machine.within(allowance(scale), lambda: not machine.unfinished())
    refused = len(re.findall("ERROR:  a fault", (tmp_path / "postgres" / "data" / "log").read_text()))
    verdict(judge(machine, "7", "serialization failures, deadlocks", refused, allowance(scale), ends(machine)))
    assert refused
