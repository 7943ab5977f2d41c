"""Compares the live database with what we expect of it, before it fails at a random place.

Only what would break us counts: additional columns, wider texts and `timestamp` in place of `timestamptz` do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import URL, Column, MetaData, Table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db import crawler, engine, public
from pixcrawler.errors import SchemaMismatch

DIALECT = URL.create(engine.DRIVER).get_dialect()()
UPGRADE = "run `pixcrawler db upgrade`"
TIMES = frozenset({"timestamp with time zone", "timestamp without time zone"})
# What may stand in for a type, besides itself and the wider texts.
COMPATIBLE = {
    "timestamp with time zone": TIMES,
    "date": TIMES,  # usage_metrics.metric_date
    "integer": frozenset({"bigint"}),
}

# Columns of the front end that we read and take to be filled.
RELIED_ON = {
    "profiles": {"id"},
    "projects": {"id", "user_id"},
    "crawl_jobs": {"id", "project_id", "name", "keywords", "max_images", "status"},
    "images": {"id", "crawl_job_id", "original_url", "filename", "is_valid", "is_duplicate"},
    "credit_accounts": {"id", "user_id", "current_balance", "refill_threshold"},
    "credit_transactions": {"id", "account_id", "amount", "status"},
    "usage_metrics": {"user_id", "metric_date", "images_processed"},
}

# Tables of the front end that we add rows to; what it requires of rows elsewhere is its own business.
ADDED_TO = frozenset({"crawl_jobs", "images", "activity_logs", "credit_transactions", "notifications", "usage_metrics"})

COLUMNS = text("""
    SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, NULL) AS type,
           CASE WHEN a.atttypid = 'varchar'::regtype AND a.atttypmod > 0 THEN a.atttypmod - 4 END AS length,
           a.attnotnull AS required,
           a.atthasdef OR a.attidentity <> '' AS fills_itself
    FROM pg_attribute a
    JOIN pg_class c ON c.oid = a.attrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('public', 'crawler') AND c.relkind IN ('r', 'p', 'v') AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum
""")


@dataclass(frozen=True, slots=True)
class LiveColumn:
    """A column as it is. `length` is that of a limited text; `fills_itself` says that an INSERT may leave it out."""

    type: str
    length: int | None
    required: bool
    fills_itself: bool


Tables = dict[str, dict[str, LiveColumn]]


async def require(connection: AsyncConnection) -> None:
    """Raises `SchemaMismatch`, in one line with every difference, for a database that would break us."""
    differences = await check(connection)
    if differences:
        raise SchemaMismatch(f"this database cannot be served: {'; '.join(differences)}")


async def check(connection: AsyncConnection) -> list[str]:
    """Every difference that would break us, one line each; empty for a database that serves."""
    live: dict[str, Tables] = {"public": {}, "crawler": {}}
    for schema, table, column, *facts in await connection.execute(COLUMNS):
        live[schema].setdefault(table, {})[column] = LiveColumn(*facts)
    return [*_check_public(live["public"]), *_check_crawler(live["crawler"])]


def _check_public(live: Tables) -> list[str]:
    if not live.keys() & {table.name for table in _by_name(public.metadata)}:
        return ["schema public: has none of the front end's tables; is DATABASE_URL the right database?"]
    jobs = live.get("crawl_jobs", {})
    if "dataset_id" in jobs and "project_id" not in jobs:
        return ["public.crawl_jobs: has dataset_id in place of project_id, so a newer front end than this one serves"]
    return [
        difference
        for table in _by_name(public.metadata)
        for difference in _differences(
            table, live.get(table.name), RELIED_ON.get(table.name, set()), adding=table.name in ADDED_TO
        )
    ]


def _check_crawler(live: Tables) -> list[str]:
    expected = _by_name(crawler.metadata)
    if not live.keys() & {table.name for table in expected}:
        return [f"schema crawler: has none of our tables; {UPGRADE}"]
    differences = [
        difference
        for table in expected
        for difference in _differences(table, live.get(table.name), set(table.columns.keys()), adding=True)
    ]
    return [*differences, f"schema crawler: not up to date; {UPGRADE}"] if differences else []


def _by_name(metadata: MetaData) -> list[Table]:
    return sorted(metadata.tables.values(), key=lambda table: table.name)


def _differences(
    table: Table, live: dict[str, LiveColumn] | None, relied_on: set[str], *, adding: bool
) -> Iterator[str]:
    if live is None:
        yield f"{table.fullname}: missing"
        return
    for expected in table.columns:
        found = live.get(expected.name)
        reason = _difference(expected, found, relied_on) or (_obstacle(expected, found) if adding else None)
        if reason:
            yield f"{table.fullname}.{expected.name}: {reason}"
    for name in sorted(live.keys() - table.columns.keys()) if adding else ():
        if live[name].required and not live[name].fills_itself:
            yield f"{table.fullname}.{name}: unknown to us, yet NOT NULL without a default"


def _difference(expected: Column[object], live: LiveColumn | None, relied_on: set[str]) -> str | None:
    """What keeps us from reading it."""
    if live is None:
        return "missing"
    if not _fits(expected, live):
        return f"{_type(live.type, live.length)}, expected {_expected_type(expected)}"
    if not live.required and not expected.nullable and expected.name in relied_on:
        return "may be NULL, expected NOT NULL"
    return None


def _obstacle(expected: Column[object], live: LiveColumn | None) -> str | None:
    """What keeps us from adding a row without it."""
    if live is not None and live.required and not live.fills_itself and _may_be_left_out(expected):
        return "NOT NULL without a default, expected one" if not expected.nullable else "NOT NULL, expected nullable"
    return None


def _fits(expected: Column[object], live: LiveColumn) -> bool:
    name, length = _base_type(expected)
    if name in ("character varying", "text"):
        wide_enough = live.length is None or (length is not None and live.length >= length)
        return live.type in ("character varying", "text") and wide_enough
    return live.type == name or live.type in COMPATIBLE.get(name, ())


def _may_be_left_out(expected: Column[object]) -> bool:
    serial = expected is expected.table.autoincrement_column
    return expected.nullable or expected.server_default is not None or serial


def _base_type(expected: Column[object]) -> tuple[str, int | None]:
    name = _expected_type(expected)
    length: int | None = getattr(expected.type, "length", None)
    return name.partition("(")[0], length


def _expected_type(expected: Column[object]) -> str:
    return expected.type.compile(DIALECT).lower().replace("varchar", "character varying")


def _type(name: str, length: int | None) -> str:
    return f"{name}({length})" if length else name
