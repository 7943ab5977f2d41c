"""Runs migrations: all of them in one transaction, one process at a time, on the schema `crawler` alone.

`db.schema` passes the URL in the attributes; the `alembic` command uses `DATABASE_URL`, else the embedded database.
"""

from __future__ import annotations

from alembic import context
from alembic.util import CommandError
from sqlalchemy import NullPool, create_engine, text

from pixcrawler.config import config
from pixcrawler.db import crawler, engine, schema
from pixcrawler.db.embedded import EmbeddedServer


def migrate(url: str) -> None:
    target = engine.normalized(url)
    with (
        engine.connect_errors(target),
        create_engine(target, poolclass=NullPool, connect_args={"prepare_threshold": None}).begin() as connection,
    ):
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": schema.LOCK})
        connection.execute(text("CREATE SCHEMA IF NOT EXISTS crawler"))  # the version table is in it
        context.configure(
            connection=connection,
            target_metadata=crawler.metadata,
            version_table_schema="crawler",
            include_schemas=True,
            include_name=_is_ours,
        )
        context.run_migrations()


def _is_ours(name: str | None, kind: str, _parents: object) -> bool:
    return kind != "schema" or name == "crawler"


def run() -> None:
    if context.is_offline_mode():
        raise CommandError("the baseline depends on what the database has: --sql is not possible")
    url = context.config.attributes.get("url") or config().database_url
    if url is None:
        with EmbeddedServer(config().data_dir) as embedded:
            migrate(embedded)
    else:
        migrate(url if isinstance(url, str) else url.get_secret_value())


run()
