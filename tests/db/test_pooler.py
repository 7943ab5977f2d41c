"""Behind a pooler in transaction mode: no statement leaves anything in a session, and none relies on one."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from servers import bring_settings, pooler
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

import pixcrawler
from pixcrawler.db import engine, schema
from pixcrawler.db.patience import persist

T = TypeVar("T")

PACKAGE = Path(pixcrawler.__file__).parent
SOURCES = sorted(path for pattern in ("*.py", "*.sql") for path in PACKAGE.rglob(pattern))

# At the beginning of a statement, as UPDATE has a SET too; or anywhere. In capitals, as all our SQL is.
OF_A_SESSION = [
    re.compile(r"(?:\A|;)\s*(?:(?:UN)?LISTEN|PREPARE|DEALLOCATE|DISCARD|RESET|LOAD)\b"),
    re.compile(r"(?:\A|;)\s*SET\b(?!\s+(?:LOCAL|TRANSACTION)\b)"),
    re.compile(r"\b(?:TEMP|TEMPORARY)\s+(?:TABLE|VIEW|SEQUENCE)\b"),
    re.compile(r"\bWITH HOLD\b"),
    re.compile(r"\bset_config\([^)]*,\s*false\s*\)"),
    re.compile(r"\bpg_(?:try_)?advisory_(?:un)?lock"),
]


def of_a_session(code: str) -> list[str]:
    """What in some SQL would stay in its session, or need it."""
    return [found[0].strip("; \n") for pattern in OF_A_SESSION for found in pattern.finditer(code)]


def statements(path: Path) -> list[str]:
    """Everything that may be SQL: the whole file, or each text and the name of each attribute."""
    code = path.read_text(encoding="utf-8")
    if path.suffix == ".sql":
        return [re.sub(r"--.*", "", code)]
    nodes = list(ast.walk(ast.parse(code)))
    formatted = [node for node in nodes if isinstance(node, ast.JoinedStr)]
    fragments = {id(part) for node in formatted for part in node.values}
    constants = [node.value for node in nodes if isinstance(node, ast.Constant) and id(node) not in fragments]
    names = [node.attr for node in nodes if isinstance(node, ast.Attribute)]
    return [*(value for value in constants if isinstance(value, str)), *names, *map(_filled, formatted)]


def _filled(text: ast.JoinedStr) -> str:
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in text.values)


def test_nothing_needs_its_session() -> None:
    assert {path.name for path in SOURCES} > {"engine.py", "ledger.py", "0001_baseline.py"}
    found = {path.name: words for path in SOURCES for code in statements(path) if (words := of_a_session(code))}
    assert found == {}


@pytest.mark.parametrize(
    "code",
    [
        "LISTEN jobs",
        "SET timezone = 'UTC'",
        "SELECT 1; SET SESSION lock_timeout = 0",
        "CREATE TEMP TABLE x (id int)",
        "CREATE TEMPORARY TABLE x (id int)",
        "PREPARE x AS SELECT 1",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_try_advisory_lock(1)",
        "SELECT set_config('jit', 'off', false)",
    ],
)
def test_what_needs_it_is_found(code: str) -> None:
    assert len(of_a_session(code)) == 1


@pytest.mark.parametrize(
    "code", ["SET LOCAL lock_timeout = '5s'", "UPDATE x\nSET y = 1", "SELECT pg_advisory_xact_lock(1)"]
)
def test_what_does_not_is_not(code: str) -> None:
    assert of_a_session(code) == []


@pytest.fixture
def pooled_url(direct_database_url: str) -> Iterator[str]:
    """A new database behind a pooler that lets in two clients."""
    if shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin") is None:
        assert not os.environ.get("CI"), "no pgbouncer"
        pytest.skip("no pgbouncer")
    bring_settings(direct_database_url, f"IN DATABASE {conninfo_to_dict(direct_database_url)['dbname']}")
    with pooler(direct_database_url, clients=2) as url:
        yield url


def with_engine(url: str, use: Callable[[AsyncEngine], Awaitable[T]], **more: Any) -> T:
    async def run() -> T:
        own = engine.create(url, application_name="pixcrawler test", pool_size=1, **more)
        try:
            return await use(own)
        finally:
            await own.dispose()

    return asyncio.run(run())


def test_the_role_brings_the_settings(pooled_url: str) -> None:
    async def ask(own: AsyncEngine) -> dict[str, str]:
        async with engine.transaction(own) as connection:
            return {
                name: (await connection.execute(text(f"SHOW {name}"))).scalar_one() for name in engine.SERVER_SETTINGS
            }

    assert with_engine(pooled_url, ask) == engine.SERVER_SETTINGS


def test_a_database_can_be_prepared_through_it(pooled_url: str) -> None:
    schema.initialise(pooled_url)


def test_whoever_must_not_wait_for_a_lock_does_not(pooled_url: str) -> None:
    async def wait(own: AsyncEngine) -> None:
        async with engine.transaction(own) as connection:
            await connection.execute(text("UPDATE public.projects SET name = 'theirs'"))

    with psycopg.connect(pooled_url) as theirs:
        theirs.execute("UPDATE public.projects SET name = 'ours'")
        with pytest.raises(OperationalError, match="lock timeout"):
            with_engine(pooled_url, wait, lock_seconds=0.1)


def test_the_next_in_the_same_session_finds_nothing_of_it(pooled_url: str) -> None:
    async def ask(own: AsyncEngine) -> tuple[int, str]:
        async with engine.transaction(own) as connection:
            row = await connection.execute(text("SELECT pg_backend_pid(), current_setting('lock_timeout')"))
            number, limit = row.one()
            return number, limit

    first, limited = with_engine(pooled_url, ask, lock_seconds=0.1)
    second, unlimited = with_engine(pooled_url, ask)
    assert (first, limited, unlimited) == (second, "100ms", "0")


def test_a_pooler_that_is_full_is_waited_for(pooled_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async def name(connection: AsyncConnection) -> Any:
        return await connection.scalar(text("SELECT name FROM public.projects"))

    async def ask(own: AsyncEngine) -> Any:
        others = [await psycopg.AsyncConnection.connect(pooled_url) for _ in range(2)]
        asked = asyncio.create_task(persist(own, name, 30))
        while "no more connections allowed" not in caplog.text:
            assert not asked.done()
            await asyncio.sleep(0.01)
        for other in others:
            await other.close()
        return await asked

    assert with_engine(pooled_url, ask) == "Local"
    assert len(caplog.records) == 1
    assert "\n" not in caplog.messages[0]
