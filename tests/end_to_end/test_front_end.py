"""The front end beside us: Drizzle, as `authenticated` with the claims of a user.

On a database that we have made, and on one that the front end has made and whose owner has run `db audit --sql`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import psycopg
import pytest
from drizzle_tools import drizzle_sql, front_end, make_front_end, pixcrawler
from loopback import Web
from machines import Machine, disposable

Sql = Callable[..., list[tuple[Any, ...]]]

ASKED = 60
SIGN_UP_CREDITS = 100
SLOW = 0.4  # seconds an answer takes, so that a crawl has a middle


# Policies as they are in use.
HOLES = """
    ALTER TABLE profiles ENABLE ROW LEVEL SECURITY;
    CREATE POLICY "own profile" ON profiles FOR UPDATE USING (auth.uid() = id);
    ALTER TABLE credit_accounts ENABLE ROW LEVEL SECURITY;
    CREATE POLICY "own account" ON credit_accounts FOR UPDATE USING (auth.uid() = user_id);
"""

__all__ = ["drizzle_sql"]


@pytest.fixture(params=["ours", "theirs"])
def database_url(request: pytest.FixtureRequest, empty_database_url: str) -> str:
    """A database that keeps users apart, whoever has made it."""
    url = empty_database_url
    if request.param == "theirs":
        make_front_end(url, request.getfixturevalue("drizzle_sql") + HOLES)
    assert pixcrawler(url, "db", "init").status == 0
    if request.param == "theirs":
        assert pixcrawler(url, "db", "audit").status == 1
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(pixcrawler(url, "db", "audit", "--sql").out)
    assert pixcrawler(url, "db", "audit") == (0, "the database keeps its tenants apart\n")
    return url


class User(NamedTuple):
    """Someone who has signed up, and has a row in every table."""

    user: str
    project: int
    job: int
    account: str


def sign_up(sql: Sql, name: str) -> UUID:
    """As Supabase's Auth does; the rest is the database's business."""
    user = uuid4()
    row = (user, f"{name}@front-end.example", json.dumps({"full_name": name}))
    sql("INSERT INTO auth.users (id, email, raw_user_meta_data) VALUES (%s, %s, %s)", row)
    return user


def newly_signed_in(sql: Sql, name: str) -> UUID:
    """Someone from before there was a trigger, for whom nothing is there yet."""
    user = sign_up(sql, name)
    for table in ("credit_transactions", "credit_accounts", "notification_preferences"):
        sql(f"DELETE FROM public.{table} WHERE user_id = %s", (user,))
    sql("DELETE FROM public.profiles WHERE id = %s", (user,))
    return user


def settle_in(sql: Sql, name: str) -> User:
    """Signs up, and gives the user a row in every table, with a job that is over."""
    user = sign_up(sql, name)
    [(account,)] = sql("SELECT id FROM public.credit_accounts WHERE user_id = %s", (user,))
    [(project,)] = sql("INSERT INTO public.projects (name, user_id) VALUES ('p', %s) RETURNING id", (user,))
    [(job,)] = sql(
        "INSERT INTO public.crawl_jobs (project_id, name, keywords, status) VALUES (%s, 'j', '[\"cat\"]', 'completed')"
        " RETURNING id",
        (project,),
    )
    for statement in (
        "INSERT INTO images (crawl_job_id, original_url, filename) VALUES (%(job)s, 'u', 'f')",
        "INSERT INTO activity_logs (user_id, action) VALUES (%(user)s, 'SIGN_IN')",
        "INSERT INTO api_keys (user_id, name, key_hash, key_prefix) VALUES (%(user)s, 'k', %(name)s, 'p')",
        "INSERT INTO notifications (user_id, type, title, message) VALUES (%(user)s, 'info', 't', 'm')",
        "INSERT INTO usage_metrics (user_id, metric_date) VALUES (%(user)s, current_date)",
        "INSERT INTO crawler.jobs (id, owner, state, keywords, requested, asked)"
        " VALUES (%(job)s, %(user)s, 'completed', '[]', 0, 0)",
    ):
        sql(statement, {"user": user, "job": job, "name": name})
    return User(str(user), project, job, str(account))


@pytest.fixture
def machine(database_url: str, tmp_path: Path, source: Web, sql: Sql) -> Iterator[Machine]:
    """A Scrapyd node, a dispatcher and an exporter, and slow pictures to find."""
    machine = Machine(tmp_path, database_url, source, sql, {"PIXCRAWLER_POLL_SECONDS": "0.2"})
    yield from disposable(machine)


def test_a_user_sees_a_job_through(machine: Machine, source: Web, sql: Sql, database_url: str) -> None:
    user = sign_up(sql, "Ada")
    source.results["red panda"] = machine.fill("red-panda", ASKED + 10, 6)
    source.latency = SLOW
    machine.node()
    machine.dispatcher()
    machine.exporter()
    began = datetime.now(UTC)
    wanted = {"keywords": ["red panda"], "max_images": ASKED}
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(front_end, "follow.ts", database_url, USER=str(user), JOB=wanted)
        machine.until(following.done)
    saw = following.result()
    ended = datetime.now(UTC)

    jobs = [line["row"] for line in saw if line["saw"] == "job"]
    progress = [job["progress"] for job in jobs]
    assert [job["status"] for job in (jobs[0], jobs[-1])] == ["pending", "completed"]
    assert progress == sorted(progress)
    assert (progress[0], progress[-1]) == (0, 100)
    assert len({step for step in progress if 0 < step < 100}) >= 2
    assert jobs[-1]["valid_images"] == ASKED
    assert began <= at(jobs[-1]["started_at"]) <= at(jobs[-1]["completed_at"]) <= ended

    images = [line["row"] for line in saw if line["saw"] == "image"]
    assert len(images) == ASKED
    assert {image["hash"] for image in images} <= {digest(answer.body) for answer in source.answers.values()}
    assert all(began <= at(image["downloaded_at"]) <= ended for image in images)
    told = [line["row"] for line in saw if line["saw"] == "notification" and line["row"]["category"] == "crawl_job"]
    assert [(note["type"], note["title"], note["is_read"]) for note in told] == [
        ("success", "Crawl Job Completed", False)
    ]
    assert told[0]["action_url"] == f"/dashboard/projects/{jobs[-1]['project_id']}"
    [balance] = [line["row"]["current_balance"] for line in saw if line["saw"] == "account"]
    assert balance == SIGN_UP_CREDITS - ASKED


def at(moment: str) -> datetime:
    return datetime.fromisoformat(moment)


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


# What users may do with their own rows (schema.md); a second profile, account or set of preferences exists already.
ALL = {"read": 1, "insert": 1, "change": 1, "delete": 1}
EXISTS = "exists"
OWN = {
    "profiles": {"read": 1, "insert": EXISTS, "change": 1},
    "projects": ALL,
    "crawl_jobs": {"read": 1, "insert": 1, "change": 1},
    "images": {"read": 1},
    "activity_logs": {"read": 1, "insert": 1},
    "api_keys": ALL,
    "credit_accounts": {"read": 1},
    "credit_transactions": {"read": 1},
    "notifications": ALL,
    "notification_preferences": ALL | {"insert": EXISTS},
    "usage_metrics": {"read": 1},
}


def everything(sql: Sql) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables but those of PostgreSQL."""
    tables = sql(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname IN ('public', 'crawler', 'auth')"
    )
    return {table: sorted(sql(f"SELECT t::text FROM {table} t")) for (table,) in tables}


def test_a_user_may_do_what_users_may_and_nothing_else(sql: Sql, database_url: str) -> None:
    ada, bob, newcomer = settle_in(sql, "Ada"), settle_in(sql, "Bob"), newly_signed_in(sql, "Eve")
    before = everything(sql)
    met = front_end("trespass.ts", database_url, MINE=ada._asdict(), THEIRS=bob._asdict(), NEWCOMER=str(newcomer))
    assert everything(sql) == before

    own = {(line["table"], line["did"]): line["outcome"] for line in met if line.get("whose") == "mine"}
    if own["projects", "delete"] == "in use":  # by its job, which does not go with it in every database
        own["projects", "delete"] = 1
    allowed = {(table, did): outcome for table, may in OWN.items() for did, outcome in may.items()}
    assert {deed: outcome for deed, outcome in own.items() if outcome not in (0, "denied")} == allowed
    assert len(own) == 11 * 5

    forbidden = [line for line in met if line.get("whose") != "mine"]
    assert len(forbidden) > 200
    assert [line for line in forbidden if line["outcome"] not in (0, "denied")] == []
    # What looks for no row cannot meet none: it is refused.
    loud = ("insert", "truncate", "become admin", "begin as admin", "give away")
    assert [line for line in forbidden if line["did"] in loud and line["outcome"] != "denied"] == []
    hidden = [line for line in forbidden if line.get("whose") == "hidden"]
    assert {line["table"] for line in hidden} >= {"crawler.jobs", "crawler.candidates", "auth.users"}
    assert {line["outcome"] for line in hidden} == {"denied"}
