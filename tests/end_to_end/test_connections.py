"""How many connections everything takes at load, and what becomes of it when the database gives too few."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from loopback import Web
from machines import Machine, disposable
from verdicts import judge

Sql = Callable[..., list[tuple[Any, ...]]]

CRAWLS = 8
PER_CRAWL = 2
TOTAL = 20
LATENCY = 3.0  # seconds of the source before each answer: a transaction open meanwhile lasts at least as long
LOOKS_SECONDS = 0.02  # between two looks
END_SECONDS = 180.0  # eight processes take half a minute to start on two cores

SESSIONS = """
    SELECT application_name,
           CASE state WHEN 'idle in transaction' THEN extract(epoch FROM clock_timestamp() - state_change) ELSE 0 END,
           CASE state WHEN 'active' THEN extract(epoch FROM clock_timestamp() - query_start) ELSE 0 END,
           coalesce(extract(epoch FROM clock_timestamp() - xact_start), 0),
           query
    FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'pixcrawler %%'
"""


class Sessions:
    """What was seen of our sessions, at the worst; times in seconds, each with its statement."""

    def __init__(self) -> None:
        self.looks = 0
        self.by_name: Counter[str] = Counter()
        self.total = 0
        self.crawls = 0  # at the same time
        self.idle: tuple[float, str, str] = (0, "", "")  # in a transaction, between two statements
        self.statement: tuple[float, str, str] = (0, "", "")
        self.transaction: tuple[float, str, str] = (0, "", "")

    def look(self, connection: psycopg.Connection[Any]) -> None:
        rows = connection.execute(SESSIONS).fetchall()
        now = Counter(name for name, *_ in rows)
        self.looks += 1
        self.by_name |= now
        self.total = max(self.total, now.total())
        self.crawls = max(self.crawls, sum(name.startswith("pixcrawler crawl") for name in now))
        for name, idle, statement, transaction, query in rows:
            self.idle = max(self.idle, (float(idle), name, query))
            self.statement = max(self.statement, (float(statement), name, query))
            self.transaction = max(self.transaction, (float(transaction), name, query))

    def __str__(self) -> str:
        return "\n".join(f"{name}: {value}" for name, value in vars(self).items())


@contextmanager
def watched(url: str) -> Iterator[Sessions]:
    """Looks at all our sessions again and again."""
    seen, over = Sessions(), threading.Event()

    def watch() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not over.wait(LOOKS_SECONDS):
                seen.look(connection)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


@pytest.fixture
def machine(direct_database_url: str, tmp_path: Path, source: Web, sql: Sql) -> Iterator[Machine]:
    """Past the pooler, whose sessions belong to nobody."""
    yield from disposable(Machine(tmp_path, direct_database_url, source, sql, {}))


@pytest.mark.timeout(480)
def test_everything_at_load_stays_within_the_budget(
    machine: Machine, direct_database_url: str, source: Web, record_property: Callable[[str, object], None]
) -> None:
    source.latency = LATENCY
    machine.node(slots=CRAWLS)
    for _ in range(2):
        machine.dispatcher()
    machine.exporter()
    for _ in range(CRAWLS):
        machine.job(60, bad=3)
    with watched(direct_database_url) as seen:
        machine.until(lambda: seen.crawls == CRAWLS, END_SECONDS)
        machine.until(lambda: not machine.unfinished(), END_SECONDS)
    record_property("sessions", str(seen))
    print(seen)
    assert seen.looks > 100
    assert {name: n for name, n in seen.by_name.items() if name.startswith("pixcrawler crawl") and n > PER_CRAWL} == {}
    assert seen.total <= TOTAL
    assert seen.transaction[0] < LATENCY, "a transaction was open across network I/O"


@contextmanager
def limited_role(sql: Sql, name: str) -> Iterator[None]:
    """A role that may do everything, but none of what only superusers may."""
    sql(f"CREATE ROLE {name} LOGIN BYPASSRLS IN ROLE pg_read_all_data, pg_write_all_data")
    sql(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public, crawler, auth TO {name}")
    sql(f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public, crawler TO {name}")
    try:
        yield
    finally:
        sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s", (name,))
        sql(f"DROP OWNED BY {name}")
        sql(f"DROP ROLE {name}")


@pytest.mark.timeout(480)
def test_too_few_connections_are_waited_for(direct_database_url: str, tmp_path: Path, source: Web, sql: Sql) -> None:
    role = f"limited_{psycopg.conninfo.conninfo_to_dict(direct_database_url)['dbname']}"
    url = direct_database_url.replace("//postgres@", f"//{role}@")
    source.latency = 0.5
    new = contextmanager(disposable)
    with limited_role(sql, role), new(Machine(tmp_path, url, source, sql, {})) as machine:
        machine.node(slots=3)
        machine.dispatcher()
        machine.exporter()
        for _ in range(3):
            machine.job(60, bad=3)
        machine.until(lambda: sql("SELECT 1 FROM crawler.attempts HAVING count(started_at) = 3"), END_SECONDS)

        sql(f"ALTER ROLE {role} CONNECTION LIMIT 2")
        sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s", (role,))
        machine.until(lambda: len(complaints(machine)) >= 3)
        sql(f"ALTER ROLE {role} CONNECTION LIMIT -1")

        verdict = judge(machine, "E", "too few connections", 1, END_SECONDS)
        assert (verdict.lost, verdict.twice, verdict.stuck, verdict.complaints) == (0, 0, 0, [])
        assert [part.statuses for part in machine.parts] == [[], [], []]
        assert sql("SELECT attempt, state FROM crawler.attempts") == [(1, "succeeded")] * 3
        for log, lines in complaints(machine).items():
            assert all("WARNING" in line for line in lines), lines
            assert "Traceback" not in log.read_text()


def complaints(machine: Machine) -> dict[Path, list[str]]:
    """The lines in which services and crawls say that they get no connection, by log."""
    logs = [*machine.folder.glob("*.log"), *(machine.folder / "logs" / "crawl").rglob("*.log")]
    lines = {log: [line for line in log.read_text().splitlines() if "too many connections" in line] for log in logs}
    return {log: found for log, found in lines.items() if found}
