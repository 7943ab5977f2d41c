"""`db.check` names what would break us, and nothing else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg
import pytest

from pixcrawler.db import check, engine
from pixcrawler.errors import SchemaMismatch

if TYPE_CHECKING:
    from tests.conftest import Sql

JOBS = "ALTER TABLE public.crawl_jobs "
IMAGES = "ALTER TABLE public.images "

BREAKING = {
    JOBS + "DROP COLUMN keywords": "public.crawl_jobs.keywords: missing",
    JOBS + "RENAME COLUMN status TO state": "public.crawl_jobs.status: missing",
    JOBS + "ALTER keywords TYPE json": "public.crawl_jobs.keywords: json, expected jsonb",
    JOBS + "ALTER max_images DROP NOT NULL": "public.crawl_jobs.max_images: may be NULL, expected NOT NULL",
    JOBS + "ADD priority int NOT NULL": ("public.crawl_jobs.priority: unknown to us, yet NOT NULL without a default"),
    JOBS + "ALTER created_at DROP DEFAULT": ("public.crawl_jobs.created_at: NOT NULL without a default, expected one"),
    IMAGES + "ALTER width TYPE text": "public.images.width: text, expected integer",
    IMAGES + "ALTER width SET NOT NULL": "public.images.width: NOT NULL, expected nullable",
    IMAGES + "ALTER id DROP DEFAULT": "public.images.id: NOT NULL without a default, expected one",
    IMAGES + "ALTER filename TYPE varchar(100)": (
        "public.images.filename: character varying(100), expected character varying(255)"
    ),
    IMAGES + "ALTER original_url TYPE varchar(2048)": (
        "public.images.original_url: character varying(2048), expected text"
    ),
    IMAGES + "ALTER is_valid DROP DEFAULT, ALTER is_valid TYPE int USING 1": (
        "public.images.is_valid: integer, expected boolean"
    ),
    "ALTER TABLE public.notifications ADD tone text NOT NULL": (
        "public.notifications.tone: unknown to us, yet NOT NULL without a default"
    ),
    "DROP TABLE public.notifications": "public.notifications: missing",
    "CREATE TYPE mood AS ENUM ('success'); ALTER TABLE public.notifications DROP CONSTRAINT notifications_type_check, "
    "ALTER type TYPE mood USING type::mood": "public.notifications.type: mood, expected character varying(50)",
    "ALTER TABLE public.usage_metrics ALTER metric_date TYPE text": (
        "public.usage_metrics.metric_date: text, expected date"
    ),
}

HARMLESS = [
    JOBS + "ADD priority int NOT NULL DEFAULT 0, ADD note text",
    JOBS + "ALTER created_at TYPE timestamp, ALTER started_at TYPE timestamp",
    JOBS + "ALTER name TYPE varchar(500), ALTER status TYPE text",
    JOBS + "ALTER progress DROP NOT NULL",
    JOBS + "ADD number int GENERATED ALWAYS AS IDENTITY, ADD twice int GENERATED ALWAYS AS (max_images * 2) STORED",
    IMAGES + "ALTER file_size TYPE bigint, ALTER original_url TYPE varchar",
    "ALTER TABLE public.usage_metrics ALTER metric_date TYPE timestamp",
    "CREATE TABLE public.something_else (id int NOT NULL)",
    # In tables that we add no rows to
    "ALTER TABLE public.profiles ADD username text NOT NULL DEFAULT 'x'; "
    "ALTER TABLE public.profiles ALTER username DROP DEFAULT, ALTER created_at DROP DEFAULT",
]


def differences(url: str) -> list[str]:
    async def ask() -> list[str]:
        pool = engine.create(url, application_name="test", pool_size=1)
        try:
            async with engine.transaction(pool) as connection:
                return await check.check(connection)
        finally:
            await pool.dispose()

    return asyncio.run(ask())


def refusal(url: str) -> str:
    async def ask() -> str:
        pool = engine.create(url, application_name="test", pool_size=1)
        try:
            async with engine.transaction(pool) as connection:
                with pytest.raises(SchemaMismatch) as caught:
                    await check.require(connection)
                return str(caught.value)
        finally:
            await pool.dispose()

    return asyncio.run(ask())


def test_our_own_database_serves(database_url: str) -> None:
    assert differences(database_url) == []


@pytest.mark.parametrize(("change", "line"), BREAKING.items())
def test_names_what_breaks(database_url: str, sql: Sql, change: str, line: str) -> None:
    sql(change)
    assert differences(database_url) == [line]


@pytest.mark.parametrize("change", HARMLESS)
def test_tolerates_what_does_not(database_url: str, sql: Sql, change: str) -> None:
    sql(change)
    assert differences(database_url) == []


def test_tells_a_newer_front_end(database_url: str, sql: Sql) -> None:
    sql(JOBS + "DROP COLUMN project_id CASCADE, ADD dataset_id int NOT NULL")
    assert differences(database_url) == [
        "public.crawl_jobs: has dataset_id in place of project_id, so a newer front end than this one serves"
    ]


def test_an_empty_database_lacks_everything(empty_database_url: str) -> None:
    assert differences(empty_database_url) == [
        "schema public: has none of the front end's tables; is DATABASE_URL the right database?",
        "schema crawler: has none of our tables; run `pixcrawler db upgrade`",
    ]


def test_a_database_of_the_front_end_alone_wants_an_upgrade(database_url: str, sql: Sql) -> None:
    sql("DROP SCHEMA crawler CASCADE")
    assert differences(database_url) == ["schema crawler: has none of our tables; run `pixcrawler db upgrade`"]


def test_our_own_tables_are_checked_in_full(database_url: str, sql: Sql) -> None:
    sql("ALTER TABLE crawler.attempts DROP COLUMN lease_until; ALTER TABLE crawler.jobs ALTER asked DROP NOT NULL")
    assert differences(database_url) == [
        "crawler.attempts.lease_until: missing",
        "crawler.jobs.asked: may be NULL, expected NOT NULL",
        "schema crawler: not up to date; run `pixcrawler db upgrade`",
    ]


def test_a_refusal_is_one_line_with_every_column(database_url: str, sql: Sql) -> None:
    sql(JOBS + "DROP COLUMN keywords; " + IMAGES + "ALTER width TYPE text")
    assert refusal(database_url) == (
        "this database cannot be served: public.crawl_jobs.keywords: missing; "
        "public.images.width: text, expected integer"
    )


def test_a_role_that_sees_nothing_of_the_rows_still_gets_an_answer(database_url: str, sql: Sql) -> None:
    name = f"stranger_{psycopg.conninfo.conninfo_to_dict(database_url)['dbname']}"
    sql(f"CREATE ROLE {name} LOGIN")
    try:
        assert differences(database_url.replace("//postgres@", f"//{name}@")) == []
    finally:
        sql(f"DROP ROLE {name}")
