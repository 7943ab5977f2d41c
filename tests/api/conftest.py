"""A real API on a real database, with two users, and an issuer of tokens that tests can trust."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from api_servers import Api, Issuer, issuing, serving

Sql = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with issuing() as issuer:
        yield issuer


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def api(shared_database_url: str, issuer: Issuer, data_dir: Path) -> Iterator[Api]:
    """Users log in with tokens of `issuer`; nobody is limited."""
    limits = ("user:100000", "address:100000", "failures:100000")
    with serving(shared_database_url, data_dir, supabase_url=issuer.url, request_limits=limits) as server:
        server.issuer = issuer
        yield server


@pytest.fixture(scope="module")
def local(shared_database_url: str, data_dir: Path) -> Iterator[Api]:
    """Whoever comes is the local user."""
    with serving(shared_database_url, data_dir) as server:
        yield server


@pytest.fixture
def rows(shared_database_url: str) -> Iterator[Sql]:
    """`rows("SELECT …", [parameters])` on the database of the module's API."""
    with psycopg.connect(shared_database_url, autocommit=True) as connection:

        def run(query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
            cursor = connection.execute(query, parameters)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

        yield run


@pytest.fixture
def ada(api: Api, rows: Sql) -> Iterator[httpx.Client]:
    """A user who is logged in."""
    with api.logged_in(rows, "ada@example.org") as client:
        yield client


@pytest.fixture
def bob(api: Api, rows: Sql) -> Iterator[httpx.Client]:
    """Another one."""
    with api.logged_in(rows, "bob@example.org") as client:
        yield client


@pytest.fixture(scope="session")
def web() -> Iterator[httpx.Client]:
    """Somebody who is not logged in."""
    with httpx.Client(trust_env=False, timeout=30) as client:
        yield client
