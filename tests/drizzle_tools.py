"""The front end's side of the database, made by its own tools: `drizzle-kit` and `drizzle-orm`, from npm."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from npm import install
from typer.testing import CliRunner

from pixcrawler.cli import app
from pixcrawler.config import config

FOLDER = Path(__file__).with_name("drizzle")
RUN_SECONDS = 75
LIBPQ = {name: f"PG{name.upper()}" for name in ("host", "port", "user", "password")} | {"dbname": "PGDATABASE"}

# As much of Supabase as the front end's tables and policies lean on. Its roles get every right on new tables, so
# that only policies keep them from rows.
SUPABASE = """
    DO $$ DECLARE role text; BEGIN
        FOREACH role IN ARRAY ARRAY['anon', 'authenticated', 'service_role BYPASSRLS'] LOOP
            BEGIN
                EXECUTE 'CREATE ROLE ' || role;
            EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
            END;
        END LOOP;
    END $$;
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated, service_role;
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO anon, authenticated, service_role;
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;
    CREATE SCHEMA auth;
    CREATE TABLE auth.users (
        instance_id uuid, id uuid PRIMARY KEY, aud varchar(255), role varchar(255), email varchar(255),
        encrypted_password varchar(255), raw_app_meta_data jsonb, raw_user_meta_data jsonb,
        created_at timestamptz, updated_at timestamptz
    );
    CREATE FUNCTION auth.uid() RETURNS uuid STABLE LANGUAGE sql AS $$
        SELECT (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid
    $$;
"""


@pytest.fixture(scope="session")
def drizzle_sql() -> str:
    """The SQL that `drizzle-kit` makes of the front end's schema."""
    install(FOLDER)
    return run("node_modules/drizzle-kit/bin.cjs", "export", "--dialect", "postgresql", "--schema", "schema.ts")


def make_front_end(url: str, tables: str) -> None:
    """Makes an empty database that of a Supabase project with these tables."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SUPABASE)
        connection.execute(tables)  # type: ignore[call-overload]


class Said(NamedTuple):
    """What a command said, and its exit status."""

    status: int
    out: str


def pixcrawler(url: str, *arguments: str) -> Said:
    """Runs our public command on a database."""
    config.cache_clear()
    result = CliRunner(env={"DATABASE_URL": url}).invoke(app, arguments, catch_exceptions=False)
    config.cache_clear()
    return Said(result.exit_code, result.stdout)


def run(*arguments: str, **variables: str) -> str:
    """What a program of the front end prints."""
    env = os.environ | variables
    done = subprocess.run(
        ["node", *arguments], cwd=FOLDER, env=env, capture_output=True, text=True, timeout=RUN_SECONDS
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def front_end(program: str, url: str, **given: Any) -> list[dict[str, Any]]:
    """Runs a program of the front end on a database; what it reports."""
    install(FOLDER)
    parts = psycopg.conninfo.conninfo_to_dict(url)
    database = {LIBPQ[name]: str(value) for name, value in parts.items()}
    wishes = {f"FRONT_END_{name}": json.dumps(value) for name, value in given.items()}
    return [json.loads(line) for line in run("--import", "tsx", program, **database, **wishes).splitlines()]
