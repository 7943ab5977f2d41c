"""On the database that the front end's own migrations make: `pixcrawler db check`, and jobs from row to end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from datetime import datetime, time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from drizzle_tools import make_front_end, pixcrawler
from players import Mortal, at_work, bring, close, until
from psycopg.sql import SQL, Identifier
from sqlalchemy import Column, text
from worlds import Owner, World, pictures, serving

from pixcrawler.db import check, engine, public
from pixcrawler.db.ledger import PostgresLedger
from pixcrawler.jobs import Spent

if TYPE_CHECKING:
    from tests.conftest import Sql

Seed = tuple[str, str]  # statements, and the line that names what they break
ENDS = ("completed", "failed", "cancelled")
FINE = "the database has everything we need\n"
JOBS = "ALTER TABLE public.crawl_jobs "
TABLES = list(public.metadata.tables.values())
COLUMNS = [column for table in TABLES for column in table.columns]


def as_in_production(tables: str) -> str:
    """Drizzle's SQL as production was built from it: times with a zone, a day that is a date, rows that cascade."""
    dated = tables.replace('"metric_date" timestamp', '"metric_date" date')
    zoned = re.sub(r'(?<=") timestamp\b', " timestamptz", dated)
    return zoned.replace("DELETE no action", "DELETE cascade")


@pytest.fixture
def database_url(request: pytest.FixtureRequest, empty_database_url: str, drizzle_sql: str) -> str:
    """A database that the front end has made, or another one, after `pixcrawler db init`."""
    maker = getattr(request, "param", "drizzle")
    if maker != "pixcrawler":
        make_front_end(empty_database_url, as_in_production(drizzle_sql) if maker == "production" else drizzle_sql)
    assert pixcrawler(empty_database_url, "db", "init") == (0, "the database is ready\n")
    return empty_database_url


# What is checked

# The type of times, what a foreign key does on delete, how many unique constraints a day's figures have.
FACTS = """
    SELECT format_type(atttypid, NULL), confdeltype::text,
           (SELECT count(*) FROM pg_constraint WHERE conrelid = 'usage_metrics'::regclass AND contype = 'u')
    FROM pg_attribute JOIN pg_constraint ON conrelid = attrelid AND contype = 'f'
    WHERE attrelid = 'images'::regclass AND attname = 'created_at'
"""


@pytest.mark.parametrize(
    ("database_url", "facts"),
    [
        ("drizzle", ("timestamp without time zone", "a", 0)),
        ("production", ("timestamp with time zone", "c", 0)),
        ("pixcrawler", ("timestamp with time zone", "c", 1)),
    ],
    indirect=["database_url"],
)
def test_these_databases_differ_and_serve(database_url: str, sql: Sql, facts: tuple[Any, ...]) -> None:
    assert sql(FACTS) == [facts]
    assert pixcrawler(database_url, "db", "check") == (0, FINE)


@pytest.mark.parametrize(
    ("change", "lines"),
    {
        JOBS + "DROP COLUMN keywords": ["public.crawl_jobs.keywords: missing"],
        JOBS + "ALTER keywords TYPE text": ["public.crawl_jobs.keywords: text, expected jsonb"],
        JOBS + "ALTER max_images DROP NOT NULL": ["public.crawl_jobs.max_images: may be NULL, expected NOT NULL"],
        "DROP TABLE public.images": ["public.images: missing"],
        JOBS + "DROP COLUMN project_id, ADD dataset_id integer NOT NULL": [
            "public.crawl_jobs: has dataset_id in place of project_id, so a newer front end than this one serves"
        ],
        JOBS + "DROP COLUMN name; ALTER TABLE public.images ALTER hash TYPE bytea USING NULL": [
            "public.crawl_jobs.name: missing",
            "public.images.hash: bytea, expected character varying(64)",
        ],
    }.items(),
)
def test_the_command_names_what_breaks(database_url: str, sql: Sql, change: str, lines: list[str]) -> None:
    sql(change)
    assert pixcrawler(database_url, "db", "check") == (1, "".join(f"{line}\n" for line in lines))


def names_exactly(url: str, seeds: list[Seed]) -> None:
    """Asserts that `check` says of each change alone what it should. None of them lasts."""

    async def ask() -> None:
        pool = engine.create(url, application_name="test", pool_size=1)
        try:
            async with pool.connect() as connection:
                for statements, line in seeds:
                    await connection.execute(text(statements))
                    assert await check.check(connection) == [line]
                    await connection.rollback()
        finally:
            await pool.dispose()

    assert seeds
    asyncio.run(ask())


def test_names_every_table_that_is_missing(database_url: str) -> None:
    names_exactly(database_url, [(f"DROP TABLE {table} CASCADE", f"{table}: missing") for table in TABLES])


def test_names_every_column_that_is_missing(database_url: str) -> None:
    drop = "ALTER TABLE {0.table} DROP COLUMN {0.name} CASCADE"
    names_exactly(database_url, [(drop.format(column), f"{column.table}.{column.name}: missing") for column in COLUMNS])


def test_names_every_column_of_another_type(database_url: str) -> None:
    replace = "ALTER TABLE {0.table} DROP COLUMN {0.name} CASCADE, ADD COLUMN {0.name} point"
    seeds = [
        (replace.format(column), f"{column.table}.{column.name}: point, expected {typed(column)}") for column in COLUMNS
    ]
    names_exactly(database_url, seeds)


def test_names_every_null_where_a_value_is_relied_on(database_url: str) -> None:
    drop = "ALTER TABLE {0.table} ALTER {0.name} DROP NOT NULL"
    relied_on = [c for c in COLUMNS if c.name in check.RELIED_ON.get(c.table.name, ()) and not c.primary_key]
    seeds = [(drop.format(c), f"{c.table}.{c.name}: may be NULL, expected NOT NULL") for c in relied_on]
    names_exactly(database_url, seeds)


def typed(column: Column[Any]) -> str:
    return column.type.compile(check.DIALECT).lower().replace("varchar", "character varying")


# Jobs


@pytest.fixture
def node() -> Iterator[Mortal]:
    with serving(Mortal()) as node:
        yield node


@pytest.fixture
def far_from_utc(database_url: str, server_url: str, direct_url: str) -> None:
    """Gives the database a zone that would show in every time that is not written as UTC.

    Behind a pooler that is not possible: there the role has to say UTC.
    """
    if server_url == direct_url:
        with psycopg.connect(database_url, autocommit=True) as connection:
            name = Identifier(connection.info.dbname)
            connection.execute(SQL("ALTER DATABASE {} SET timezone = 'Asia/Tokyo'").format(name))


def now(sql: Sql) -> datetime:
    """The clock of the database, in UTC as columns without a zone have it."""
    [(now,)] = sql("SELECT clock_timestamp() AT TIME ZONE 'UTC'")
    assert isinstance(now, datetime)
    return now


@pytest.mark.usefixtures("far_from_utc")
def test_jobs_from_row_to_end(world: World, node: Mortal, sql: Sql) -> None:
    owner = Owner(world, 1000)
    began = now(sql)
    jobs = owner.ask(1, '["cat"]', 5) + owner.ask(1, '{"keywords": ["cat"]}', 5)

    async def crawl(book: PostgresLedger) -> None:
        await book.open()
        await bring(world.settings, book, pictures(*range(7)), spent=Spent.EXHAUSTED)
        await close(book)

    async def life() -> None:
        async with at_work(world, crawl, node, poll_seconds=0.05):
            await until(lambda: all(world.job(job)["status"] in ENDS for job in jobs))

    asyncio.run(life())
    ended = now(sql)

    assert [world.state(job)[:3] for job in jobs] == 2 * [("completed", 5, "full")]
    assert [(world.job(job)["valid_images"], world.job(job)["progress"]) for job in jobs] == 2 * [(5, 100)]
    assert [kind for kind, *_ in world.notices()] == ["success", "success"]
    assert owner.balance == owner.ledger_sum() == 990
    [(day, processed)] = sql("SELECT metric_date, images_processed FROM public.usage_metrics")
    assert began.date() <= day.date() <= ended.date()
    assert (day.time(), processed) == (time.min, 10)
    times = sql("SELECT downloaded_at, created_at FROM public.images")
    times += sql("SELECT started_at, completed_at FROM public.crawl_jobs")
    times += sql("SELECT created_at, created_at FROM public.notifications")
    assert len(times) == 10 + 2 + 2
    assert all(began <= moment <= ended for row in times for moment in row)
