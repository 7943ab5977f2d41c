"""Who can do what: every table, every role, every operation; sign-up; crawl processes with a role of their own."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
import pytest
from alembic import command
from loopback import web
from machines import Machine, disposable
from psycopg import sql as compose
from sqlalchemy import NullPool, create_engine, text

from pixcrawler.db import crawler, public, rules, schema
from pixcrawler.db.engine import SERVER_SETTINGS, normalized

if TYPE_CHECKING:
    from tests.conftest import Sql

ADA = UUID("aaaaaaaa-0000-4000-8000-000000000000")
BOB = UUID("bbbbbbbb-0000-4000-8000-000000000000")

# Rows of Ada's. s: select, i: insert, u: update, d: delete, m: make them Bob's. A worker sees ids of images.
MATRIX = """
table                            anon   Ada     Bob    service_role  worker
public.profiles                  -      siu     -      siud          -
public.projects                  -      siud    -      siudm         -
public.crawl_jobs                -      siu     -      siudm         s
public.images                    -      s       -      siudm         i
public.activity_logs             -      si      -      siudm         -
public.api_keys                  -      siud    -      siudm         -
public.credit_accounts           -      s       -      siudm         -
public.credit_transactions       -      s       -      siudm         -
public.notifications             -      siud    -      siudm         -
public.notification_preferences  -      siud    -      siudm         -
public.usage_metrics             -      s       -      siudm         -
crawler.jobs                     -      -       -      -             su
crawler.runs                     -      -       -      -             su
crawler.attempts                 -      -       -      -             su
crawler.candidates               -      -       -      -             siu
crawler.fingerprints             -      -       -      -             siu
crawler.exports                  -      -       -      -             s
crawler.takedowns                -      -       -      -             s
crawler.hosts                    -      -       -      -             siu
crawler.sources                  -      -       -      -             -
crawler.outbox                   -      -       -      -             -
crawler.rate_limits              -      -       -      -             -
crawler.idempotency_keys         -      -       -      -             -
"""

ROLES = {  # column of the matrix → role, and the user whose token the request carries
    "anon": ("anon", None),
    "Ada": ("authenticated", ADA),
    "Bob": ("authenticated", BOB),
    "service_role": ("service_role", None),
    "worker": ("pixcrawler_worker", None),
}

# table → which rows are whose, a column that may change, and a row as one would add it. %(…)s are ids of the owner.
MINE = "user_id = %(user)s"
TABLES = {
    "public.profiles": ("id = %(user)s", "full_name", "(id, email) VALUES (%(user)s, 'a@new.example')"),
    "public.projects": (MINE, "name", "(user_id, name) VALUES (%(user)s, 'new')"),
    "public.crawl_jobs": (
        "project_id = %(project)s",
        "name",
        "(project_id, name, keywords) VALUES (%(project)s, 'new', '[]')",
    ),
    "public.images": (
        "crawl_job_id = %(job)s",
        "filename",
        "(crawl_job_id, original_url, filename) VALUES (%(job)s, 'https://new.example', 'new')",
    ),
    "public.activity_logs": (MINE, "action", "(user_id, action) VALUES (%(user)s, 'SIGN_IN')"),
    "public.api_keys": (
        MINE,
        "name",
        "(user_id, name, key_hash, key_prefix) VALUES (%(user)s, 'new', gen_random_uuid(), 'new')",
    ),
    "public.credit_accounts": (MINE, "current_balance", "(user_id) VALUES (%(user)s)"),
    "public.credit_transactions": (
        MINE,
        "amount",
        "(account_id, user_id, type, description, amount, balance_after)"
        " VALUES (%(account)s, %(user)s, 'bonus', 'new', 1, 1)",
    ),
    "public.notifications": (
        MINE,
        "is_read",
        "(user_id, type, title, message) VALUES (%(user)s, 'info', 'new', 'new')",
    ),
    "public.notification_preferences": (MINE, "email_enabled", "(user_id) VALUES (%(user)s)"),
    "public.usage_metrics": (MINE, "images_limit", "(user_id, metric_date) VALUES (%(user)s, '2020-02-02')"),
    "crawler.jobs": ("id = %(job)s", "kept", "(id, state, keywords, asked) VALUES (-1, 'crawling', '[]', 1)"),
    "crawler.runs": (
        "job = %(job)s",
        "slices",
        "(job, generation, source, slices, state) VALUES (%(job)s, 1, 's', '{}', 'pending')",
    ),
    "crawler.attempts": (
        "job = %(job)s",
        "lease_until",
        "(run, attempt, job, node, state) VALUES (%(run)s, 2, %(job)s, 'n', 'lost')",
    ),
    "crawler.candidates": (
        "job = %(job)s",
        "begun",
        "(run, url_key, job, keyword, item) VALUES (%(run)s, 'new', %(job)s, 'w', '{}')",
    ),
    "crawler.fingerprints": (
        "job = %(job)s",
        "pixels",
        "(scope, job, image_id, sha256, codes, fingerprint, algorithm, pixels, freedom, credited)"
        " VALUES ('s', %(job)s, 1, 'new', '', '', 1, 1, 0, false)",
    ),
    "crawler.exports": (
        "job = %(job)s",
        "tries",
        "(job, generation, version, format, tier, awaited, state)"
        " VALUES (%(job)s, 1, 2, 'zip', 'hot', true, 'pending')",
    ),
    "crawler.takedowns": (
        "kind = 'url'",
        "reason",
        "(kind, value, reason, booked_by) VALUES ('url', 'new', 'r', 'ann')",
    ),
    "crawler.hosts": ("host <> ''", "reason", "(host, not_before, reason) VALUES ('new', now(), 'new')"),
    "crawler.sources": ("name <> ''", "reason", "(name, state, report) VALUES ('new', 'ok', '{}')"),
    "crawler.outbox": ("owner = %(user)s", "tries", "(owner, channel, message) VALUES (%(user)s, 'email', '{}')"),
    "crawler.rate_limits": ("subject <> ''", "used", "(subject, minute, used) VALUES ('new', 1, 1)"),
    "crawler.idempotency_keys": (
        "owner = %(user)s",
        "request",
        "(owner, key, request) VALUES (%(user)s, 'new', 'r')",
    ),
}
# What says whose a row is; in schema crawler nobody's.
OWNER_COLUMNS = {
    "public.profiles": "id",
    "public.crawl_jobs": "project_id",
    "public.images": "crawl_job_id",
}
# A second one would be refused.
ALONE = ("public.credit_accounts", "public.notification_preferences", "public.profiles")

SEEDS = """
INSERT INTO public.projects (user_id, name) VALUES (%(user)s, 'Pets');
INSERT INTO public.crawl_jobs (project_id, name, keywords) SELECT id, 'cats', '["cat"]' FROM public.projects
    WHERE user_id = %(user)s;
INSERT INTO public.images (crawl_job_id, original_url, filename)
    SELECT j.id, 'https://a.example', 'a.jpg' FROM public.crawl_jobs j JOIN public.projects p ON p.id = project_id
    WHERE user_id = %(user)s;
INSERT INTO public.activity_logs (user_id, action) VALUES (%(user)s, 'SIGN_IN');
INSERT INTO public.api_keys (user_id, name, key_hash, key_prefix) VALUES (%(user)s, 'k', %(user)s, 'k');
INSERT INTO public.notifications (user_id, type, title, message) VALUES (%(user)s, 'info', 't', 'm');
INSERT INTO public.usage_metrics (user_id, metric_date) VALUES (%(user)s, '2020-01-01');
INSERT INTO crawler.jobs (id, state, keywords, asked)
    SELECT j.id, 'crawling', '[]', 9 FROM public.crawl_jobs j JOIN public.projects p ON p.id = project_id
    WHERE user_id = %(user)s;
INSERT INTO crawler.outbox (owner, channel, message) VALUES (%(user)s, 'email', '{}');
INSERT INTO crawler.hosts (host, not_before, reason) VALUES ('h', now(), 'r') ON CONFLICT DO NOTHING;
INSERT INTO crawler.takedowns (kind, value, reason, booked_by) VALUES ('url', 'k', 'r', 'ann') ON CONFLICT DO NOTHING;
INSERT INTO crawler.sources (name, state, report) VALUES ('s', 'ok', '{}') ON CONFLICT DO NOTHING;
INSERT INTO crawler.rate_limits (subject, minute, used) VALUES ('s', 1, 1) ON CONFLICT DO NOTHING;
INSERT INTO crawler.idempotency_keys (owner, key, request) VALUES (%(user)s, 'k', 'r') ON CONFLICT DO NOTHING;
"""
OF_JOB = """
INSERT INTO crawler.runs (job, generation, source, slices, state) VALUES (%(job)s, 1, 's', '{}', 'running');
INSERT INTO crawler.attempts (run, attempt, job, node, state)
    SELECT id, 1, job, 'n', 'running' FROM crawler.runs WHERE job = %(job)s;
INSERT INTO crawler.candidates (run, url_key, job, keyword, item)
    SELECT id, 'k', job, 'w', '{}' FROM crawler.runs WHERE job = %(job)s;
INSERT INTO crawler.fingerprints
        (scope, job, image_id, sha256, codes, fingerprint, algorithm, pixels, freedom, credited)
    VALUES ('s', %(job)s, 1, %(job)s, '', '', 1, 1, 0, false);
INSERT INTO crawler.exports (job, generation, version, format, tier, awaited, state)
    VALUES (%(job)s, 1, 1, 'zip', 'hot', true, 'pending');
"""

Ids = dict[str, Any]


def execute(connection: psycopg.Connection[Any], script: str, ids: Ids) -> None:
    for statement in filter(str.strip, script.split(";\n")):
        connection.execute(statement, ids)  # type: ignore[call-overload]


def signed_up(connection: psycopg.Connection[Any], user: UUID, name: str) -> Ids:
    """A user with a row in every table; the ids of these."""
    connection.execute("INSERT INTO auth.users (id, email) VALUES (%s, %s)", (user, f"{name}@users.example"))
    ids: Ids = {"user": user}
    execute(connection, SEEDS, ids)
    for what, query in {
        "project": "SELECT id FROM public.projects WHERE user_id = %(user)s",
        "job": "SELECT id FROM public.crawl_jobs WHERE project_id = %(project)s",
        "account": "SELECT id FROM public.credit_accounts WHERE user_id = %(user)s",
    }.items():
        ids[what] = connection.execute(query, ids).fetchone()[0]  # type: ignore[index,call-overload]
    execute(connection, OF_JOB, ids)
    ids["run"] = connection.execute("SELECT id FROM crawler.runs WHERE job = %(job)s", ids).fetchone()[0]  # type: ignore[index]
    return ids


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """One transaction with everything in it, for attempts that leave nothing behind."""
    with psycopg.connect(database_url, prepare_threshold=None) as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def ada(connection: psycopg.Connection[Any]) -> Ids:
    return signed_up(connection, ADA, "ada")


@pytest.fixture
def bob(connection: psycopg.Connection[Any]) -> Ids:
    return signed_up(connection, BOB, "bob")


def become(connection: psycopg.Connection[Any], who: str) -> None:
    """Goes on as PostgREST does for a request."""
    role, user = ROLES[who]
    claims = json.dumps({"sub": str(user), "role": role} if user else {"role": role})
    connection.execute("SELECT set_config('request.jwt.claims', %s, true)", (claims,))
    connection.execute(compose.SQL("SET LOCAL ROLE {}").format(compose.Identifier(role)))


def attempt(
    connection: psycopg.Connection[Any], who: str, statement: str, ids: Ids | None = None, before: str = ""
) -> bool:
    """Whether the role may, and meets a row. A constraint may refuse what rights do not."""
    with connection.transaction(force_rollback=True):
        if before:
            connection.execute(before, ids)  # type: ignore[call-overload]
        become(connection, who)
        try:
            return connection.execute(statement, ids).rowcount > 0  # type: ignore[call-overload]
        except psycopg.errors.InsufficientPrivilege:
            return False
        except psycopg.errors.IntegrityError:
            return True


def attempts(who: str, table: str, bob: Ids) -> dict[str, tuple[str, str]]:
    """The letters of the matrix: what has to be done before, and the statement."""
    mine, column, row = TABLES[table]
    everything = {
        "s": ("", f"SELECT 1 FROM {table} WHERE {mine}"),
        "i": (f"DELETE FROM {table} WHERE {mine}" if table in ALONE else "", f"INSERT INTO {table} {row}"),
        "u": ("", f"UPDATE {table} SET {column} = {column} WHERE {mine}"),
        "d": ("", f"DELETE FROM {table} WHERE {mine}"),
    }
    if table.startswith("public.") and table != "public.profiles":
        owner = OWNER_COLUMNS.get(table, "user_id")
        key = mine.partition("%(")[2].partition(")")[0]
        # A condition reads the row, and what is read is held to the policy of reading as well.
        condition = "" if who == "Ada" else f" WHERE {mine}"
        everything["m"] = ("", f"UPDATE {table} SET {owner} = '{bob[key]}'{condition}")
    return everything


EXPECTED = [line.split() for line in MATRIX.strip().splitlines()]


@pytest.mark.parametrize("who", ROLES)
def test_the_matrix(connection: psycopg.Connection[Any], ada: Ids, bob: Ids, who: str) -> None:
    place = EXPECTED[0].index(who)
    expected = {line[0]: line[place].replace("-", "") for line in EXPECTED[1:]}
    found = {
        table: "".join(
            letter
            for letter, (before, statement) in attempts(who, table, bob).items()
            if attempt(connection, who, statement, ada, before)
        )
        for table in expected
    }
    assert found == expected


def test_the_matrix_knows_every_table() -> None:
    tables = {table.fullname for each in (public, crawler) for table in each.metadata.tables.values()}
    assert {line[0] for line in EXPECTED[1:]} == tables == TABLES.keys()


def test_each_sees_own_rows_only(connection: psycopg.Connection[Any], ada: Ids, bob: Ids) -> None:
    for table in (name for name in TABLES if name.startswith("public.")):
        mine = TABLES[table][0]
        with connection.transaction(force_rollback=True):
            become(connection, "Ada")
            seen = connection.execute(f"SELECT count(*), count(*) FILTER (WHERE {mine}) FROM {table}", ada).fetchone()  # type: ignore[call-overload]
            assert seen == (1, 1), table


HOLES = {
    "raises the balance": "UPDATE public.credit_accounts SET current_balance = 9999",
    "books credits": "INSERT INTO public.credit_transactions (account_id, user_id, type, description, amount,"
    " balance_after) VALUES (%(account)s, %(user)s, 'bonus', 'mine', 9, 9)",
    "becomes an admin": "UPDATE public.profiles SET role = 'admin'",
    "takes another's address": "UPDATE public.profiles SET email = 'bob@users.example'",
    "becomes somebody else": f"UPDATE public.profiles SET id = '{BOB}'",
    "reads all users": "SELECT 1 FROM auth.users",
    "empties a table": "TRUNCATE public.notifications",
    "watches a table": "CREATE TRIGGER t AFTER INSERT ON public.projects EXECUTE FUNCTION public.handle_updated_at()",
    "sets a counter back": "SELECT setval('public.projects_id_seq', 1)",
    "makes a table": "CREATE TABLE public.mine (id int)",
    "reads the crawler's log of migrations": "SELECT 1 FROM crawler.alembic_version",
    "reads the crawler's function": "SELECT crawler.funnel_adds_up('{}')",
    "deletes a job": "DELETE FROM public.crawl_jobs",
}


@pytest.mark.parametrize("hole", HOLES)
@pytest.mark.parametrize("who", ["Ada", "anon"])
def test_the_holes_are_closed(connection: psycopg.Connection[Any], ada: Ids, bob: Ids, who: str, hole: str) -> None:
    assert not attempt(connection, who, HOLES[hole], ada)


def test_a_profile_of_one_s_own_is_that_of_a_user(connection: psycopg.Connection[Any], ada: Ids) -> None:
    gone = "DELETE FROM public.profiles WHERE id = %(user)s"
    row = "INSERT INTO public.profiles (id, email, role) VALUES (%(user)s, 'ada@new.example', '{}')"
    assert attempt(connection, "Ada", row.format("user"), ada, gone)
    assert not attempt(connection, "Ada", row.format("admin"), ada, gone)


@pytest.mark.parametrize("who", ["Ada", "anon", "worker"])
@pytest.mark.parametrize("function", ["handle_new_user", "handle_updated_at"])
def test_nobody_calls_the_functions_of_triggers(
    connection: psycopg.Connection[Any], ada: Ids, who: str, function: str
) -> None:
    become(connection, who)
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match=f"denied for function {function}"):
        connection.execute(f"SELECT public.{function}()")  # type: ignore[call-overload]


def test_a_user_works_as_the_front_end_does(connection: psycopg.Connection[Any], ada: Ids) -> None:
    become(connection, "Ada")
    assert connection.execute("SELECT auth.uid()").fetchone() == (ADA,)
    project = connection.execute(
        "INSERT INTO public.projects (user_id, name) VALUES (%(user)s, 'Birds') RETURNING id", ada
    ).fetchone()
    assert project is not None
    connection.execute(
        "INSERT INTO public.crawl_jobs (project_id, name, keywords, max_images) VALUES (%s, 'owls', '[\"owl\"]', 5)",
        project,
    )
    cancelled = "UPDATE public.crawl_jobs SET status = 'cancelled' WHERE project_id = %s RETURNING status"
    assert connection.execute(cancelled, project).fetchall() == [("cancelled",)]
    connection.execute("UPDATE public.notifications SET is_read = true, read_at = now()")


# Sign-up


@pytest.mark.parametrize(
    ("said", "name", "avatar"),
    [
        (
            {"full_name": "Ada Lovelace", "avatar_url": "https://a.example/a.png"},
            "Ada Lovelace",
            "https://a.example/a.png",
        ),
        ({"name": "Ada", "picture": "https://a.example/b.png"}, "Ada", "https://a.example/b.png"),
        ({"full_name": "", "name": "Ada"}, "Ada", None),
        ({"full_name": "A" * 500}, "A" * 100, None),
        ({"full_name": {"first": "Ada"}, "role": "admin"}, '{"first": "Ada"}', None),
        ({}, None, None),
        (["full_name"], None, None),
        (None, None, None),
    ],
)
def test_who_signs_up_has_everything(sql: Sql, said: Any, name: str | None, avatar: str | None) -> None:
    sql(
        "INSERT INTO auth.users (id, email, raw_user_meta_data) VALUES (%s, 'ada@users.example', %s)",
        (ADA, None if said is None else json.dumps(said)),
    )
    assert sql("SELECT email, full_name, avatar_url, role FROM public.profiles WHERE id = %s", (ADA,)) == [
        ("ada@users.example", name, avatar, "user")
    ]
    assert sql("SELECT crawl_jobs_enabled FROM public.notification_preferences WHERE user_id = %s", (ADA,)) == [(True,)]
    assert sql(
        "SELECT current_balance, type, amount, balance_after FROM public.credit_accounts a"
        " JOIN public.credit_transactions t ON t.account_id = a.id WHERE t.user_id = %s",
        (ADA,),
    ) == [(100, "bonus", 100, 100)]


def test_those_without_an_address_of_their_own_sign_up_too(sql: Sql) -> None:
    sql("INSERT INTO auth.users (id, email) VALUES (%s, 'ada@users.example')", (ADA,))
    for n, email in enumerate([None, None, "", "ada@users.example"]):
        sql("INSERT INTO auth.users (id, email) VALUES (%s, %s)", (UUID(int=n), email))
        assert sql("SELECT email FROM public.profiles WHERE id = %s", (UUID(int=n),)) == [(str(UUID(int=n)),)]
    assert sql("SELECT count(*) FROM public.credit_accounts WHERE current_balance = 100") == [(5,)]


def test_what_is_there_already_stays(sql: Sql) -> None:
    sql("ALTER TABLE auth.users DISABLE TRIGGER USER")
    sql("INSERT INTO auth.users (id, email) VALUES (%s, 'ada@users.example')", (ADA,))
    sql("INSERT INTO public.profiles (id, email, full_name) VALUES (%s, 'ada@work.example', 'Countess')", (ADA,))
    sql("INSERT INTO public.credit_accounts (user_id, current_balance) VALUES (%s, 7)", (ADA,))
    sql("INSERT INTO public.notification_preferences (user_id, email_enabled) VALUES (%s, false)", (ADA,))
    sql("ALTER TABLE public.profiles DROP CONSTRAINT profiles_id_fkey")
    sql("DELETE FROM auth.users WHERE id = %s", (ADA,))
    sql("ALTER TABLE auth.users ENABLE TRIGGER USER")
    sql("INSERT INTO auth.users (id, email) VALUES (%s, 'ada@users.example')", (ADA,))
    assert sql(
        "SELECT p.email, full_name, current_balance, email_enabled FROM public.profiles p"
        " JOIN public.credit_accounts a ON a.user_id = p.id JOIN public.notification_preferences n ON n.user_id = p.id"
        " WHERE p.id = %s",
        (ADA,),
    ) == [("ada@work.example", "Countess", 7, False)]
    assert sql("SELECT count(*) FROM public.credit_transactions WHERE user_id = %s", (ADA,)) == [(0,)]


STAMPED = [name for name, table in public.metadata.tables.items() if "updated_at" in table.columns]


@pytest.mark.parametrize("table", STAMPED)
def test_a_change_is_stamped(connection: psycopg.Connection[Any], ada: Ids, table: str) -> None:
    changed = f"UPDATE {table} SET updated_at = '2001-01-01' WHERE {TABLES[table][0]} RETURNING updated_at = now()"
    assert connection.execute(changed, ada).fetchall() == [(True,)]  # type: ignore[call-overload]


SUMS = """
    SELECT current_balance, (SELECT sum(amount) FROM public.credit_transactions WHERE account_id = a.id)
    FROM public.credit_accounts a
"""


def test_the_local_user_s_books_sum_up(database_url: str, sql: Sql) -> None:
    assert sql(SUMS) == [(schema.LOCAL_CREDITS, schema.LOCAL_CREDITS)]
    assert sql("SELECT full_name FROM public.profiles") == [("Local user",)]
    sql("DELETE FROM public.credit_transactions")  # as before there were any
    sql("UPDATE public.credit_accounts SET current_balance = 7")
    schema.initialise(database_url)
    assert sql(SUMS) == [(7, 7)]


# Live updates

PUBLISHED = "SELECT tablename::text FROM pg_publication_tables WHERE pubname = 'supabase_realtime' ORDER BY 1"


def test_the_front_end_hears_of_jobs_and_notifications(sql: Sql) -> None:
    assert sql(PUBLISHED) == [("crawl_jobs",), ("notifications",)]


@pytest.fixture
def foreign(empty_database_url: str) -> Iterator[Sql]:
    """A database with the front end's tables that we have not made."""
    with create_engine(normalized(empty_database_url), poolclass=NullPool).begin() as connection:
        connection.execute(text("CREATE SCHEMA auth; CREATE TABLE auth.users (id uuid PRIMARY KEY)"))
        public.metadata.create_all(connection)
    with psycopg.connect(empty_database_url, autocommit=True, prepare_threshold=None) as connection:

        def run(query: str, *_: object) -> list[tuple[Any, ...]]:
            cursor = connection.execute(query)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

        yield run


def test_a_foreign_publication_is_completed(empty_database_url: str, foreign: Sql) -> None:
    assert schema.initialise(empty_database_url) == []
    assert foreign(PUBLISHED) == []
    foreign("CREATE TABLE public.theirs (id int); CREATE PUBLICATION supabase_realtime FOR TABLE theirs, crawl_jobs")
    for _ in range(2):
        assert schema.initialise(empty_database_url) == []
        assert foreign(PUBLISHED) == [("crawl_jobs",), ("notifications",), ("theirs",)]


@pytest.mark.parametrize("tables", ["ALL TABLES", "TABLES IN SCHEMA public"])
def test_a_publication_of_everything_stays_as_it_is(empty_database_url: str, foreign: Sql, tables: str) -> None:
    foreign(f"CREATE PUBLICATION supabase_realtime FOR {tables}")
    assert schema.initialise(empty_database_url) == []
    assert ("crawl_jobs",) in foreign(PUBLISHED)
    assert foreign("SELECT count(*) FROM pg_publication_rel") == [(0,)]


@pytest.fixture
def guest(empty_database_url: str) -> Iterator[str]:
    """A database's owner who may do nothing else on the server; the URL of both."""
    name = psycopg.conninfo.conninfo_to_dict(empty_database_url)["dbname"]
    role = str(name).replace("test", "guest")
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN; ALTER DATABASE {name} OWNER TO {role}")  # type: ignore[call-overload]
        yield empty_database_url.replace("//postgres@", f"//{role}@")
        connection.execute(f"REASSIGN OWNED BY {role} TO postgres; DROP OWNED BY {role}; DROP ROLE {role}")  # type: ignore[call-overload]


def test_a_publication_that_may_not_be_changed_is_one_line(guest: str, empty_database_url: str, foreign: Sql) -> None:
    foreign("CREATE PUBLICATION supabase_realtime")
    said = schema.initialise(guest)
    assert len(said) == 1
    assert re.match("^the publication supabase_realtime lacks crawl_jobs or notifications: [^\n]+$", said[0])


def test_an_owner_who_may_not_make_roles_gets_a_database_and_one_line(guest: str) -> None:
    """Where the roles are not there already."""
    with psycopg.connect(guest, autocommit=True) as connection:
        missing = connection.execute("SELECT to_regrole('service_role') IS NULL").fetchone() == (True,)
        said = schema.initialise(guest)
        assert len(said) == missing
        assert connection.execute(SUMS).fetchall() == [(schema.LOCAL_CREDITS, schema.LOCAL_CREDITS)]
    assert all(re.match("^rights and policies are not in place: permission denied [^\n]+$", line) for line in said)


# Again, and by several


def test_again_takes_no_lock_that_crawls_would_wait_for(database_url: str, sql: Sql) -> None:
    with psycopg.connect(database_url) as busy:
        busy.execute("UPDATE public.crawl_jobs SET name = name; SELECT 1 FROM public.projects FOR UPDATE")
        busy.execute("LOCK TABLE crawler.jobs IN ROW EXCLUSIVE MODE; LOCK TABLE public.images IN ROW EXCLUSIVE MODE")
        schema.initialise(database_url)


def test_several_databases_of_a_server_at_once(server_url: str, direct_url: str) -> None:
    """Roles belong to all of them. Each attempt makes one that nobody has."""
    script = rules.roles().replace("pixcrawler_worker", "pixcrawler_rehearsal")
    ready = threading.Barrier(4)

    def prepare(_: int) -> None:
        with psycopg.connect(direct_url, autocommit=True) as connection:
            ready.wait()
            connection.execute(script)  # type: ignore[call-overload]

    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(prepare, range(4)))
    finally:
        with psycopg.connect(direct_url, autocommit=True) as connection:
            connection.execute("DROP ROLE IF EXISTS pixcrawler_rehearsal")


def test_what_is_new_in_the_crawler_s_schema_is_hidden_by_the_next_upgrade(database_url: str, sql: Sql) -> None:
    sql("GRANT USAGE ON SCHEMA crawler TO PUBLIC; GRANT SELECT (id) ON crawler.jobs TO anon")
    sql("CREATE FUNCTION crawler.f() RETURNS int LANGUAGE sql RETURN 1; GRANT ALL ON crawler.hosts TO authenticated")
    schema.upgrade(database_url)
    assert sql(
        "SELECT has_schema_privilege('anon', 'crawler', 'USAGE'), has_column_privilege('anon', 'crawler.jobs', 'id',"
        " 'SELECT'), has_function_privilege('anon', 'crawler.f()', 'EXECUTE'),"
        " has_table_privilege('authenticated', 'crawler.hosts', 'INSERT')"
    ) == [(False, False, False, False)]


def test_a_foreign_database_gets_the_worker_s_rights_where_there_is_one(empty_database_url: str, foreign: Sql) -> None:
    foreign(rules.roles())
    assert schema.upgrade(empty_database_url) == []
    assert foreign("SELECT has_table_privilege('pixcrawler_worker', 'crawler.candidates', 'INSERT')") == [(True,)]
    assert foreign("SELECT count(*) FROM pg_policy") == [(0,)]


def test_tables_that_are_made_anew_get_their_rights_anew(database_url: str, sql: Sql) -> None:
    command.downgrade(schema.alembic_config(database_url), "0001")
    schema.upgrade(database_url)
    assert sql("SELECT has_table_privilege('pixcrawler_worker', 'crawler.candidates', 'INSERT')") == [(True,)]


# Crawl processes


@pytest.fixture
def worker_url(sql: Sql, direct_url: str) -> str:
    name = sql("SELECT current_database()")[0][0]
    return re.sub(r"//\w+@/\w+\?", f"//pixcrawler_worker@/{name}?", direct_url)


def test_its_settings_hold_by_themselves(worker_url: str) -> None:
    with psycopg.connect(worker_url) as connection:
        for name, value in SERVER_SETTINGS.items():
            assert connection.execute("SELECT current_setting(%s)", (name,)).fetchone() == (value,)


FORBIDDEN = [
    "SELECT current_balance FROM public.credit_accounts",
    "UPDATE public.credit_accounts SET current_balance = 0",
    "SELECT amount FROM public.credit_transactions",
    "INSERT INTO public.notifications (user_id, type, title, message) VALUES (gen_random_uuid(), 'info', 't', 'm')",
    "SELECT email FROM public.profiles",
    "SELECT email FROM auth.users",
    "SELECT key_hash FROM public.api_keys",
    "SELECT name FROM public.projects",
    "SELECT original_url FROM public.images",
    "UPDATE public.images SET is_valid = false",
    "DELETE FROM public.images",
    "SELECT task_ids FROM public.crawl_jobs",
    "UPDATE public.crawl_jobs SET status = 'completed'",
    "DELETE FROM public.crawl_jobs",
    "UPDATE crawler.jobs SET state = 'completed'",
    "UPDATE crawler.jobs SET asked = 1000",
    "UPDATE crawler.jobs SET charged = 0",
    "DELETE FROM crawler.candidates",
    "UPDATE crawler.candidates SET item = '{}'",
    "UPDATE crawler.candidates SET job = 2",
    "DELETE FROM crawler.fingerprints",
    "UPDATE crawler.attempts SET node = 'n'",
    "INSERT INTO crawler.attempts (run, attempt, job, node, state) VALUES (1, 1, 1, 'n', 'running')",
    "INSERT INTO crawler.runs (job, generation, source, slices, state) VALUES (1, 1, 's', '{}', 'pending')",
    "UPDATE crawler.exports SET state = 'done'",
    "SELECT message FROM crawler.outbox",
    "UPDATE crawler.alembic_version SET version_num = '0'",
    "TRUNCATE crawler.jobs CASCADE",
    "CREATE TABLE crawler.mine (id int)",
    "CREATE TABLE public.mine (id int)",
    "SET ROLE service_role",
    "ALTER ROLE pixcrawler_worker BYPASSRLS",
]


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_it_may_do_nothing_else(worker_url: str, statement: str) -> None:
    with psycopg.connect(worker_url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)  # type: ignore[call-overload]


@pytest.fixture
def machine(database_url: str, sql: Sql, tmp_path: Path) -> Iterator[Machine]:
    with web() as source:
        yield from disposable(Machine(tmp_path, database_url, source, sql, {"PIXCRAWLER_HEARTBEAT_SECONDS": "0.2"}))


def test_a_node_and_its_crawls_work_with_that_role(machine: Machine, worker_url: str, sql: Sql) -> None:
    machine.node(DATABASE_URL=worker_url)
    machine.dispatcher()
    machine.exporter()
    short, full = machine.job(3, bad=4, asked=6), machine.job(10, bad=3, asked=6)
    machine.until(lambda: not machine.unfinished())
    assert sql("SELECT id, state, kept FROM crawler.jobs ORDER BY id") == [
        (short, "completed", 3),
        (full, "completed", 6),
    ]
    node = urlsplit(machine.nodes[0]).netloc
    assert answer(node, "/health.json")["database"]["schema_right"] is True
    assert {job["id"] for job in answer(node, "/crawljobs.json")["jobs"]} == {short, full}
    told = answer(node, f"/crawljob.json?id={full}")
    assert (told["job"]["kept"], told["exports"][0]["state"]) == (6, "done")


def answer(node: str, path: str) -> Any:
    with closing(HTTPConnection(node, timeout=10)) as connection:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
