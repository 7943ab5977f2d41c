"""What every test may use: a fresh real database, its rows, settings by name. And what none may: the network."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import psycopg
import pytest
from azurite_server import Azurite, azurite
from chromium import chromium
from disks import small_disk
from hypothesis import settings as hypothesis_settings
from playwright.sync_api import Browser
from psycopg import sql as compose

from pixcrawler.config import config
from pixcrawler.db import schema
from pixcrawler.db.embedded import EmbeddedServer
from pixcrawler.errors import PixCrawlerError

Sql = Callable[..., list[tuple[Any, ...]]]

OURS = ("PIXCRAWLER_", "SUPABASE_", "SCRAPYD_", "AZURE_", "PG", "OPENVERSE_")
OURS_EXACTLY = {
    *("DATABASE_URL", "ENVIRONMENT", "DEBUG", "HOST", "PORT", "ALLOWED_ORIGINS", "LOG_LEVEL", "LOG_FORMAT"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"),
}
# Names that exist nowhere (RFC 6761): a test may ask for them and hears that.
NOWHERE = (".invalid", ".test", ".example")

# How long an example takes says more about the machine than about the code.
hypothesis_settings.register_profile("project", deadline=None)
hypothesis_settings.load_profile("project")

# The server to test on in place of the embedded one, and how to reach it past its pooler. The names are others than
# those that `pytest` was given: what it starts must not see them, but processes of `--numprocesses` must.
GIVEN_URL = os.environ.setdefault("TESTED_URL", os.environ.get("DATABASE_URL", ""))
DIRECT_URL = os.environ.setdefault("TESTED_DIRECT_URL", os.environ.pop("DIRECT_DATABASE_URL", GIVEN_URL))

for name in list(os.environ):
    if name.startswith(OURS) or name in OURS_EXACTLY:
        del os.environ[name]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(autouse=True)
def _fresh_settings() -> Iterator[None]:
    config.cache_clear()
    yield
    config.cache_clear()


@pytest.fixture
def settings_env(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`settings_env(PIXCRAWLER_MIN_SIDE="10")`: the settings of this test, read anew."""

    def change(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        config.cache_clear()

    return change


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """The database `postgres` of the PostgreSQL to test on: the one in DATABASE_URL, else an own embedded one."""
    if GIVEN_URL:
        yield _plain(GIVEN_URL)
        return
    with tempfile.TemporaryDirectory(prefix="pixcrawler-tests-") as folder, ExitStack() as stack:
        try:
            url = stack.enter_context(EmbeddedServer(Path(folder)))
        except PixCrawlerError as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(str(error))
        _forget_durability(url)
        yield url


@pytest.fixture(scope="session")
def direct_url(server_url: str) -> str:
    """The same server past its pooler, for what concerns whole databases and sessions."""
    return _plain(DIRECT_URL) if DIRECT_URL else server_url


@pytest.fixture(scope="session")
def template(direct_url: str) -> Iterator[str]:
    """The name of a migrated database that nobody is connected to."""
    with _database(direct_url, "template1", "template") as name:
        schema.initialise(_renamed(direct_url, name))
        yield name


@pytest.fixture(name="small_disk")
def _small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 2 MB."""
    with small_disk(tmp_path / "disk") as disk:
        yield disk


@pytest.fixture(scope="session", name="azurite")
def _azurite() -> Iterator[Azurite]:
    """An emulator of Azure Blob Storage; each test names containers of its own."""
    with azurite() as running:
        yield running


@pytest.fixture
def empty_database_url(server_url: str, direct_url: str) -> Iterator[str]:
    """A new database with nothing in it."""
    with _database(direct_url, "template1") as name:
        yield _renamed(server_url, name)


@pytest.fixture
def database_url(server_url: str, direct_url: str, template: str) -> Iterator[str]:
    """A new database with all tables and the local user, project and account."""
    with _database(direct_url, template) as name:
        yield _renamed(server_url, name)


@pytest.fixture(scope="module")
def shared_database_url(server_url: str, direct_url: str, template: str) -> Iterator[str]:
    """The same, one for all tests of a module."""
    with _database(direct_url, template) as name:
        yield _renamed(server_url, name)


@pytest.fixture
def direct_database_url(database_url: str, direct_url: str) -> str:
    """The same database past the pooler, if there is one."""
    return _renamed(direct_url, psycopg.conninfo.conninfo_to_dict(database_url)["dbname"])


@pytest.fixture
def sql(direct_database_url: str) -> Iterator[Sql]:
    """`sql("SELECT …", [parameters])` → rows; each statement commits. In a session of the test's own."""
    with psycopg.connect(direct_database_url, autocommit=True) as connection:

        def run(query: str, parameters: Sequence[Any] | dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
            cursor = connection.execute(query, parameters)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

        yield run


@contextmanager
def _database(direct_url: str, template: str, kind: str = "test") -> Iterator[str]:
    name = f"{kind}_{uuid4().hex}"
    _execute(direct_url, "CREATE DATABASE {} TEMPLATE {}", name, template)
    yield name
    _execute(direct_url, "DROP DATABASE {} WITH (FORCE)", name)


def _forget_durability(url: str) -> None:
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        _execute(url, "ALTER SYSTEM SET {} = off", setting)
    _execute(url, "SELECT pg_reload_conf()")


def _plain(url: str) -> str:
    """The address in the form the embedded server has, in which tests exchange names: postgresql://user@/name?host=…"""
    parts = psycopg.conninfo.conninfo_to_dict(url)
    user, database = parts.pop("user"), parts.pop("dbname", "postgres")
    return f"postgresql://{user}@/{database}?{urlencode(parts)}"


def _renamed(url: str, database: str) -> str:
    return re.sub(r"@/\w+\?", f"@/{database}?", url)


def _execute(url: str, statement: str, *names: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(compose.SQL(statement).format(*map(compose.Identifier, names)))


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Refuses every connection that leaves this machine, and fails the test that tried one."""
    attempts: list[object] = []

    def guarded(method: str) -> Callable[..., Any]:
        original = getattr(socket.socket, method)

        def guard(self: socket.socket, *arguments: Any) -> Any:
            address = arguments[-1]
            if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
                attempts.append(address)
                raise PermissionError(f"a test wanted to connect to {address}")
            return original(self, *arguments)

        return guard

    resolve = socket.getaddrinfo

    def guarded_resolve(host: Any, *arguments: Any, **options: Any) -> Any:
        if not _is_local_name(host):
            if not str(host).rstrip(".").endswith(NOWHERE):
                attempts.append(host)
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(host, *arguments, **options)

    for method in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, method, guarded(method))
    monkeypatch.setattr(socket, "getaddrinfo", guarded_resolve)
    yield
    assert not attempts, f"the test wanted to reach {attempts}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return _is_local_name(host)


def _is_local_name(host: str | bytes | None) -> bool:
    name = host.decode() if isinstance(host, bytes) else host or "localhost"
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost" or name.endswith(".localhost") or name == socket.gethostname()
    return True
