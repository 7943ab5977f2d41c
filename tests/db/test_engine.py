"""Any PostgreSQL address works, every failure is one clear line, and times are always aware."""

from __future__ import annotations

import asyncio
import datetime
import socket
import socketserver
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pixcrawler.db import engine, public
from pixcrawler.errors import DatabaseUnavailable, UsageError

if TYPE_CHECKING:
    from tests.conftest import Sql

SECRET = "hunter2"


T = TypeVar("T")


def with_engine(url: str, use: Callable[[AsyncEngine], Awaitable[T]], pool_size: int = 1, **settings: Any) -> T:
    async def run() -> T:
        pool = engine.create(url, application_name="pixcrawler test", pool_size=pool_size, **settings)
        try:
            return await use(pool)
        finally:
            await pool.dispose()

    return asyncio.run(run())


def query(url: str, statement: str) -> Any:
    async def ask(pool: AsyncEngine) -> Any:
        async with engine.transaction(pool) as connection:
            return (await connection.execute(text(statement))).scalar()

    return with_engine(url, ask)


# Addresses


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg", "postgresql+psycopg"])
def test_every_scheme_becomes_psycopg(scheme: str) -> None:
    url = engine.normalized(f" {scheme}://me:{SECRET}@db.example:6543/app?sslmode=require&host=/run/pg ")
    assert url.drivername == "postgresql+psycopg"
    assert (url.username, url.password, url.host, url.port, url.database) == ("me", SECRET, "db.example", 6543, "app")
    assert dict(url.query) == {"sslmode": "require", "host": "/run/pg"}


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "not an address like postgresql://user:password@host:5432/database"),
        (f"db.example:{SECRET}", "not an address like postgresql://user:password@host:5432/database"),
        (f"postgresql://me:{SECRET}@db.example:port/app", "not an address like"),
        (f"mysql://me:{SECRET}@db.example/app", "PostgreSQL is needed, not mysql"),
        (f"postgresql+psycopg2://me:{SECRET}@db.example/app", "PostgreSQL is needed, not postgresql+psycopg2"),
        (f"postgresql://me:a@{SECRET}@db.example/app", "special characters in the password"),
        (f"postgresql://me:1/{SECRET}@db.example/app", "special characters in the password"),
        (f"postgresql://me:{SECRET}@db.example/app?pgbouncer=true", "PostgreSQL knows no parameter 'pgbouncer'"),
    ],
)
def test_anything_else_is_refused_in_one_line(url: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        engine.normalized(url)
    message = str(caught.value)
    assert message.startswith("DATABASE_URL: ")
    assert says in message
    assert "\n" not in message
    assert SECRET not in message


@given(st.text())
def test_no_text_gets_past_as_anything_but_an_address(url: str) -> None:
    try:
        assert engine.normalized(url).drivername == engine.DRIVER
    except UsageError:
        return


def test_a_message_shows_where_but_not_who() -> None:
    assert engine.address(engine.normalized(f"postgres://me:{SECRET}@db.example:6543/app")) == "db.example:6543/app"
    assert engine.address(engine.normalized("postgres://me@/app?host=/run/pg")) == "/run/pg/app"
    assert engine.address(engine.normalized("postgres://me@db.example")) == "db.example/me"


# Connections


def test_the_session_is_set_without_a_statement(database_url: str) -> None:
    settings = {name: query(database_url, f"SHOW {name}") for name in engine.SERVER_SETTINGS}
    assert settings == {
        "timezone": "UTC",
        "jit": "off",
        "statement_timeout": "30s",
        "idle_in_transaction_session_timeout": "10s",
    }
    assert query(database_url, "SHOW application_name") == "pixcrawler test"


def test_what_the_address_says_goes_before_what_we_say(direct_database_url: str) -> None:
    url = f"{direct_database_url}&application_name=mine&options=-c%20statement_timeout%3D1s"
    assert query(url, "SHOW application_name") == "mine"
    assert query(url, "SHOW statement_timeout") == "1s"


def test_nothing_is_prepared_on_the_server(database_url: str) -> None:
    async def repeat(pool: AsyncEngine) -> Any:
        async with engine.transaction(pool) as connection:
            for number in range(10):
                await connection.execute(text("SELECT :n + 1"), {"n": number})
            return await connection.scalar(text("SELECT count(*) FROM pg_prepared_statements"))

    assert with_engine(database_url, repeat) == 0


def test_a_transaction_commits_at_its_end_and_not_before_an_error(database_url: str, sql: Sql) -> None:
    async def write(pool: AsyncEngine) -> None:
        async with engine.transaction(pool) as connection:
            await connection.execute(public.projects.update().values(name="kept"))
        with suppress(KeyError):
            async with engine.transaction(pool) as connection:
                await connection.execute(public.projects.update().values(name="lost"))
                raise KeyError

    with_engine(database_url, write)
    assert sql("SELECT name FROM public.projects") == [("kept",)]


@pytest.mark.parametrize("type_", ["timestamp", "timestamptz"])
def test_times_are_aware_and_right_whatever_the_column(database_url: str, sql: Sql, type_: str) -> None:
    sql(f"ALTER TABLE public.projects ALTER created_at TYPE {type_}")
    noon = datetime.datetime(2026, 3, 29, 12, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))

    async def round_trip(pool: AsyncEngine) -> Any:
        async with engine.transaction(pool) as connection:
            await connection.execute(public.projects.update().values(created_at=noon))
            return await connection.scalar(select(public.projects.c.created_at))

    read = with_engine(database_url, round_trip)
    assert read == noon
    assert read.utcoffset() == datetime.timedelta(0)


def test_none_in_json_is_sql_null(database_url: str, sql: Sql) -> None:
    async def write(pool: AsyncEngine) -> None:
        async with engine.transaction(pool) as connection:
            await connection.execute(public.activity_logs.insert().values(action="SIGN_IN", metadata=None))

    with_engine(database_url, write)
    assert sql("SELECT metadata IS NULL FROM public.activity_logs") == [(True,)]


def test_a_broken_connection_in_the_pool_is_replaced(database_url: str, sql: Sql) -> None:
    async def survive(pool: AsyncEngine) -> Any:
        async with engine.transaction(pool) as connection:
            number = await connection.scalar(text("SELECT pg_backend_pid()"))
        sql("SELECT pg_terminate_backend(%s, 5000)", [number])
        async with engine.transaction(pool) as connection:
            return number, await connection.scalar(text("SELECT pg_backend_pid()"))

    before, after = with_engine(database_url, survive)
    assert before != after


# Failures


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def failure(url: str) -> str:
    with pytest.raises(DatabaseUnavailable) as caught:
        query(url, "SELECT 1")
    message = str(caught.value)
    assert "\n" not in message
    assert SECRET not in message
    return message


def test_a_connection_that_was_just_used_is_not_asked_and_one_that_rested_is(database_url: str, sql: Sql) -> None:
    async def use(pool: AsyncEngine) -> None:
        async def ask() -> None:
            async with engine.transaction(pool) as connection:
                await connection.execute(text("SELECT 1"))

        await ask()
        sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'pixcrawler test'")
        await ask()

    with_engine(database_url, use, rested_seconds=1e-9)
    with pytest.raises(DatabaseUnavailable):
        with_engine(database_url, use, rested_seconds=1000)


def test_statements_outside_transactions_hold_no_locks(database_url: str, sql: Sql) -> None:
    async def use(pool: AsyncEngine) -> None:
        async with engine.statements(pool) as connection:
            await connection.execute(text("UPDATE public.profiles SET full_name = 'Ada'"))
            sql("SET lock_timeout = '1s'; UPDATE public.profiles SET full_name = full_name")
            with pytest.raises(DBAPIError):
                await connection.execute(text("SELECT 1 / 0"))
            await connection.execute(text("SELECT 1"))
        async with engine.transaction(pool) as connection:  # the same connection
            with pytest.raises(DBAPIError):
                await connection.execute(text("SELECT 1 / 0"))
            with pytest.raises(DBAPIError):
                await connection.execute(text("SELECT 1"))

    with_engine(database_url, use)
    assert sql("SELECT DISTINCT full_name FROM public.profiles") == [("Ada",)]


def test_a_server_that_is_not_there_is_one_line() -> None:
    port = unused_port()
    assert failure(f"postgresql://me:{SECRET}@127.0.0.1:{port}/app") == (
        f"no connection to the database at 127.0.0.1:{port}/app: Connection refused"
    )


def test_a_socket_that_is_not_there_is_one_line() -> None:
    message = failure("postgresql://me@/app?host=/nowhere")
    assert message == "no connection to the database at /nowhere/app: No such file or directory"


def test_a_name_that_does_not_resolve_is_one_line() -> None:
    message = failure(f"postgresql://me:{SECRET}@database.invalid/app")
    assert message.startswith("no connection to the database at database.invalid/app: ")


def test_a_database_that_is_not_there_is_one_line(server_url: str) -> None:
    message = failure(server_url.replace("/postgres?", "/nothing?"))
    assert message.endswith('/nothing: FATAL:  database "nothing" does not exist')


def test_a_role_that_is_not_there_is_one_line(direct_url: str) -> None:
    message = failure(direct_url.replace("//postgres@", f"//nobody:{SECRET}@"))
    assert message.endswith('role "nobody" does not exist')


def test_a_connection_lost_in_the_middle_is_one_line(database_url: str, sql: Sql) -> None:
    async def lose(pool: AsyncEngine) -> None:
        async with engine.transaction(pool) as connection:
            sql("SELECT pg_terminate_backend(%s, 5000)", [await connection.scalar(text("SELECT pg_backend_pid()"))])
            await connection.execute(text("SELECT 1"))

    with pytest.raises(DatabaseUnavailable, match=r"^no connection to the database at .*: \S"):
        with_engine(database_url, lose)


def test_a_transaction_that_idled_too_long_is_one_line(database_url: str, sql: Sql) -> None:
    async def idle(pool: AsyncEngine) -> None:
        async with engine.transaction(pool) as connection:
            number = await connection.scalar(text("SELECT pg_backend_pid()"))
            await connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = '1ms'"))
            while sql("SELECT FROM pg_stat_activity WHERE pid = %s", [number]):
                pass
            await connection.execute(text("SELECT 1"))

    with pytest.raises(DatabaseUnavailable, match=r"idle-in-transaction timeout|server (conn crashed|closed)"):
        with_engine(database_url, idle)


def test_an_exhausted_pool_says_so(database_url: str) -> None:
    async def exhaust(pool: AsyncEngine) -> None:
        pool.pool._timeout = 0.05  # type: ignore[attr-defined]
        async with engine.transaction(pool), engine.transaction(pool):
            pass

    with pytest.raises(DatabaseUnavailable, match="all our connections are in use"):
        with_engine(database_url, exhaust)


@pytest.mark.parametrize(
    ("statement", "state"),
    [("SELECT 1 / 0", "22012"), ("SELECT nothing", "42703"), ("DO $$BEGIN RAISE SQLSTATE '40P01'; END$$", "40P01")],
)
def test_a_statement_that_fails_keeps_its_own_error(database_url: str, statement: str, state: str) -> None:
    with pytest.raises(DBAPIError) as caught:
        query(database_url, statement)
    assert isinstance(caught.value.orig, psycopg.Error)
    assert caught.value.orig.sqlstate == state


# A pooler that refuses settings in the start-up packet


@contextmanager
def pooler_that_refuses_options(socket_path: str) -> Iterator[int]:
    """Passes everything on to PostgreSQL but a start-up packet with options, as older PgBouncer versions do."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            start = self.request.recv(65536)
            if b"options\0" in start:
                message = b"SFATAL\0C08P01\0Munsupported startup parameter: options\0\0"
                self.request.sendall(b"E" + (len(message) + 4).to_bytes(4, "big") + message)
                return
            with socket.socket(socket.AF_UNIX) as upstream:
                upstream.connect(socket_path)
                upstream.sendall(start)
                answers = threading.Thread(target=pump, args=(upstream, self.request))
                answers.start()
                pump(self.request, upstream)
                answers.join()

    class Server(socketserver.ThreadingTCPServer):
        block_on_close = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def pump(source: socket.socket, target: socket.socket) -> None:
    while data := source.recv(65536):
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)


def test_a_pooler_that_refuses_settings_is_asked_without(direct_database_url: str, sql: Sql) -> None:
    parts = psycopg.conninfo.conninfo_to_dict(direct_database_url)
    with pooler_that_refuses_options(f"{parts['host']}/.s.PGSQL.5432") as port:
        url = f"postgresql://postgres@127.0.0.1:{port}/{parts['dbname']}?sslmode=disable&gssencmode=disable"
        assert [(query(url, "SHOW statement_timeout"),)] == sql("SHOW statement_timeout")
        assert query(url, "SHOW application_name") == "pixcrawler test"


def test_a_statement_given_up_leaves_a_pool_that_works(database_url: str) -> None:
    async def give_up(pool: AsyncEngine) -> Any:
        async def sleep(connection: AsyncConnection) -> None:
            await connection.execute(text("SELECT pg_sleep(30)"))

        with suppress(TimeoutError):
            async with engine.transaction(pool) as connection:
                await asyncio.wait_for(sleep(connection), 0.1)
        async with engine.transaction(pool) as connection:
            return await connection.scalar(text("SELECT 1"))

    assert with_engine(database_url, give_up) == 1
