"""Connections to PostgreSQL: one driver, the same settings everywhere, and failures in one clear line.

Nothing here depends on the session, so a transaction pooler works too: no prepared statements, no SET but SET LOCAL.
The server settings travel in the start-up packet; a pooler that refuses them is asked again without, and the defaults
of the role apply there: see docs/connections.md.
"""

from __future__ import annotations

import datetime
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.types.datetime import TimestampBinaryLoader, TimestampLoader
from sqlalchemy import URL, event, make_url, text
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import ArgumentError, DBAPIError, InvalidatePoolError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from pixcrawler import faults
from pixcrawler.errors import DatabaseUnavailable, UsageError

DRIVER = "postgresql+psycopg"
SCHEMES = frozenset({"postgres", "postgresql", "postgresql+asyncpg", "postgresql+psycopg"})

MALFORMED = "DATABASE_URL: not an address like postgresql://user:password@host:5432/database"
ONE_AT_SIGN = re.compile(r"[^:]+://([^@/?#]*@)?[^@]*")  # otherwise part of a password is taken for a host and shown

SERVER_SETTINGS = {
    "timezone": "UTC",
    "jit": "off",  # our statements are short; compiling them takes longer than running them
    "statement_timeout": "30s",  # a crawl process that could not renew its lease for as long has to stop anyway
    "idle_in_transaction_session_timeout": "10s",  # a stopped process must not keep everyone's locks
}
CLIENT_SETTINGS = {
    "connect_timeout": 10,  # seconds; a third of the time after which a crawl process gives up
    "keepalives_idle": 10,  # seconds; with the next two, a vanished server is noticed within 25 s
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,  # milliseconds without an acknowledgement
}

# SQLSTATE classes and states that mean "no usable connection", as opposed to a statement that went wrong.
UNAVAILABLE = ("08", "28", "3D", "53", "57P")


def normalized(url: str) -> URL:
    """`url` for our driver, its parameters kept. Raises `UsageError` for what is not a PostgreSQL address."""
    try:
        parsed = make_url(url.strip())
    except (ArgumentError, ValueError):
        raise UsageError(MALFORMED) from None
    if parsed.drivername not in SCHEMES:
        raise UsageError(f"DATABASE_URL: PostgreSQL is needed, not {parsed.drivername}")
    if not ONE_AT_SIGN.fullmatch(url.strip()):
        raise UsageError(f"{MALFORMED} (special characters in the password: %-encoded)")
    _check_parameters(parsed)
    return parsed.set(drivername=DRIVER)


def _check_parameters(url: URL) -> None:
    for name in url.query:
        try:
            make_conninfo(**{name: ""})
        except psycopg.ProgrammingError:
            raise UsageError(f"DATABASE_URL: PostgreSQL knows no parameter {name!r}") from None


def address(url: URL) -> str:
    """Where `url` points, for messages: host:port/database, without user and password."""
    host = url.host or url.query.get("host") or "localhost"
    port = f":{url.port}" if url.port else ""
    return f"{host if isinstance(host, str) else ','.join(host)}{port}/{url.database or url.username or ''}"


def create(
    url: str,
    *,
    application_name: str,
    pool_size: int,
    kept: int = 1,
    lock_seconds: float | None = None,
    rested_seconds: float = 0.0,
) -> AsyncEngine:
    """An engine that opens at most `pool_size` connections, none before the first use, and keeps `kept` of them.

    The others last as long as they are in use: what many processes might need one day, the database seldom has.
    Whoever must not wait for a lock longer than `lock_seconds` gets 55P03 instead. A connection is asked whether it is
    still there before it is used, unless it was used less than `rested_seconds` ago.
    """
    target = normalized(url)
    engine = create_async_engine(
        target,
        pool_size=kept,
        max_overflow=pool_size - kept,
        pool_pre_ping=not rested_seconds,
        connect_args=_connect_arguments(target, application_name),
        json_deserializer=_from_json,
    )
    event.listen(engine.sync_engine, "do_connect", _connect)
    event.listen(engine.sync_engine, "connect", _read_times_as_utc)
    if rested_seconds:
        event.listen(engine.sync_engine, "checkin", _remember_use)
        event.listen(engine.sync_engine, "checkout", partial(_ask_if_rested, engine.dialect, rested_seconds))
    if lock_seconds:
        # Not among the server settings: a role that others share cannot have it, where a pooler refuses those.
        limit = f"SET LOCAL lock_timeout = '{lock_seconds * 1000:.0f}ms'"
        event.listen(engine.sync_engine, "begin", lambda connection: connection.exec_driver_sql(limit))
    return engine


def _from_json(text: str | bytes) -> Any:
    """Values nested deeper than Python can follow stay text: owners write into `crawl_jobs` what they like."""
    try:
        return json.loads(text)
    except RecursionError:
        return text.decode() if isinstance(text, bytes) else text


def _connect_arguments(url: URL, application_name: str) -> dict[str, Any]:
    options = " ".join(f"-c {name}={value}" for name, value in SERVER_SETTINGS.items())
    ours = {"application_name": application_name, "options": options, **CLIENT_SETTINGS}
    return {"prepare_threshold": None} | {name: value for name, value in ours.items() if name not in url.query}


def _connect(dialect: Dialect, _record: object, arguments: list[Any], parameters: dict[str, Any]) -> Any:
    try:
        return dialect.connect(*arguments, **parameters)
    except psycopg.OperationalError as error:
        if "startup parameter" not in str(error) or "options" not in parameters:
            raise
        return dialect.connect(*arguments, **{**parameters, "options": ""})


def _remember_use(_connection: object, record: Any) -> None:
    record.info["used"] = time.monotonic()


def _ask_if_rested(dialect: Dialect, seconds: float, connection: Any, record: Any, _: object) -> None:
    """Does what `pool_pre_ping` does, for connections that nobody has used for a while."""
    if time.monotonic() - record.info.get("used", time.monotonic()) < seconds:
        return
    try:
        dialect.do_ping(connection)
    except psycopg.Error as error:
        raise InvalidatePoolError from error


class _UtcLoader(TimestampLoader):
    def load(self, data: Any) -> datetime.datetime:
        return super().load(data).replace(tzinfo=datetime.UTC)


class _UtcBinaryLoader(TimestampBinaryLoader):
    def load(self, data: Any) -> datetime.datetime:
        return super().load(data).replace(tzinfo=datetime.UTC)


def _read_times_as_utc(connection: Any, _record: object) -> None:
    adapters = connection.driver_connection.adapters
    adapters.register_loader("timestamp", _UtcLoader)
    adapters.register_loader("timestamp", _UtcBinaryLoader)


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection in a transaction, committed at the end; `DatabaseUnavailable` if there is none or it breaks."""
    with connect_errors(engine.url):
        async with engine.begin() as connection:
            yield connection
            if state := faults.refusal():
                await connection.execute(
                    text(f"DO $$ BEGIN RAISE EXCEPTION 'a fault' USING ERRCODE = '{state}'; END $$")
                )


@asynccontextmanager
async def statements(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection whose statements are transactions of their own, so that none holds a lock longer than it takes."""
    with connect_errors(engine.url):
        async with engine.connect() as connection:
            yield await connection.execution_options(isolation_level="AUTOCOMMIT")


@contextmanager
def connect_errors(url: URL) -> Iterator[None]:
    """Turns a connection that fails or breaks inside into `DatabaseUnavailable`; errors of statements pass."""
    try:
        yield
    except PoolTimeout:
        raise DatabaseUnavailable(_unavailable(url, "all our connections are in use")) from None
    except DBAPIError as error:
        if not _lost(error):
            raise
        raise DatabaseUnavailable(_unavailable(url, _cause(error))) from error


def _lost(error: DBAPIError) -> bool:
    if error.connection_invalidated:
        return True
    state = getattr(error.orig, "sqlstate", None)
    return isinstance(error.orig, psycopg.OperationalError) and (state is None or state.startswith(UNAVAILABLE))


def _cause(error: DBAPIError) -> str:
    first_line = str(error.orig).strip().partition("\n")[0]
    return first_line.rpartition("failed: ")[2]


def _unavailable(url: URL, cause: str) -> str:
    return f"no connection to the database at {address(url)}: {cause}"
