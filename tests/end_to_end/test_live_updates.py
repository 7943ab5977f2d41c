"""What the front end sees live: the changes that Supabase's Realtime reads from the publication."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from loopback import Web, web
from machines import Machine, disposable
from pgoutput import Change, changes

from pixcrawler.db import schema
from pixcrawler.db.cluster import Cluster

SHOWN = {"id", "project_id", "status", "progress", "total_images", "downloaded_images", "valid_images", "updated_at"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A PostgreSQL that tells subscribers of its changes."""
    cluster = Cluster(tmp_path_factory.mktemp("logical") / "data")
    cluster.ensure_running()
    with psycopg.connect(cluster.url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET wal_level = 'logical'")
    cluster.stop()
    cluster.ensure_running()
    yield cluster
    cluster.stop()


@pytest.fixture
def sql(cluster: Cluster) -> Callable[..., list[tuple[Any, ...]]]:
    def run(query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        with psycopg.connect(cluster.url, autocommit=True) as connection:
            cursor = connection.execute(query, parameters)
            return cursor.fetchall() if cursor.description else []

    return run


@pytest.fixture
def source() -> Iterator[Web]:
    with web() as running:
        yield running


@pytest.fixture
def machine(cluster: Cluster, tmp_path: Path, source: Web, sql: Any) -> Iterator[Machine]:
    schema.initialise(cluster.url)
    yield from disposable(Machine(tmp_path, cluster.url, source, sql, {}))


@pytest.fixture
def seen(machine: Machine) -> Iterator[Callable[[], list[Change]]]:
    """`seen()`: what a subscriber was told since the last look."""
    machine.sql("SELECT pg_create_logical_replication_slot('realtime', 'pgoutput')")

    def look() -> list[Change]:
        messages = machine.sql(
            "SELECT data FROM pg_logical_slot_get_binary_changes('realtime', NULL, NULL,"
            " 'proto_version', '1', 'publication_names', 'supabase_realtime')"
        )
        return list(changes(data for (data,) in messages))

    yield look
    machine.sql("SELECT pg_drop_replication_slot('realtime')")


def test_a_subscriber_sees_a_job_grow_once_a_second_and_nothing_else(machine: Machine, seen: Any) -> None:
    machine.source.latency = 0.5
    machine.node(slots=3)
    machine.dispatcher()
    machine.exporter()
    jobs = [machine.job(120) for _ in range(3)]
    machine.until(lambda: not machine.unfinished())
    told = seen()
    assert {change.table for change in told} == {"public.crawl_jobs", "public.notifications"}
    for job in jobs:
        own = [c for c in told if c.table == "public.crawl_jobs" and c.row["id"] == str(job) and c.kind == "update"]
        assert_grows(own)
        assert_at_most_one_a_second(own)
    ends = [change for change in told if change.table == "public.notifications"]
    assert [change.row["title"] for change in ends] == ["Crawl Job Completed"] * len(jobs)


def assert_grows(updates: list[Change]) -> None:
    progress = [int(change.row["progress"] or 0) for change in updates]
    assert progress == sorted(progress)
    assert len(set(progress)) > 3  # claimed, at least two looks in between, completed
    assert [updates[0].row["status"], updates[-1].row["status"]] == ["running", "completed"]
    assert all(change.row[column] is not None for change in updates for column in SHOWN)


def assert_at_most_one_a_second(updates: list[Change]) -> None:
    """Besides the claim and the end. A commit may be late, and the next one on time."""
    growing = updates[1:-1]
    assert len(growing) <= growing[-1].at - growing[0].at + 2


def test_a_deleted_row_leaves_only_its_number(machine: Machine, seen: Any) -> None:
    [(project,)] = machine.sql("SELECT id FROM public.projects")
    [(job,)] = machine.sql(
        "INSERT INTO public.crawl_jobs (project_id, name, keywords, status) VALUES (%s, 'secret', '[]', 'archived')"
        " RETURNING id",
        (project,),
    )
    machine.sql("DELETE FROM public.crawl_jobs WHERE id = %s", (job,))
    inserted, deleted = seen()
    assert (inserted.kind, inserted.row["name"]) == ("insert", "secret")
    assert deleted.kind == "delete"
    assert {name: value for name, value in deleted.row.items() if value is not None} == {"id": str(job)}
