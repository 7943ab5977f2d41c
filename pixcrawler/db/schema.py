"""Creates and upgrades what we own of a database. `alembic` does the work; see `migrations/`."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, NullPool, create_engine, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError

from pixcrawler.db import auth, public
from pixcrawler.db.engine import connect_errors, normalized
from pixcrawler.errors import SchemaMismatch

MIGRATIONS = Path(__file__).with_name("migrations")
LOCAL_USER = UUID("00000000-0000-4000-8000-000000000001")  # owns the jobs of a database we created
LOCAL_EMAIL = "local@localhost"
LOCAL_CREDITS = 1_000_000_000  # an own machine costs its owner nothing; half of what an integer holds


def upgrade(url: str) -> None:
    """Brings the schema `crawler` up to date; creates `auth` and `public` where the front end's tables are missing."""
    try:
        with connect_errors(normalized(url)):
            command.upgrade(alembic_config(url), "head")
    except DBAPIError as error:
        reason = str(error.orig).partition("\n")[0]
        raise SchemaMismatch(f"the database cannot be upgraded: {reason}") from error


def initialise(url: str) -> None:
    """Upgrades, and gives a database we created its local user, project and account. Any number of times."""
    upgrade(url)
    target = normalized(url)
    engine = create_engine(target, poolclass=NullPool, connect_args={"prepare_threshold": None})
    with connect_errors(target), engine.begin() as connection:
        if _is_our_creation(connection):
            _add_local_user(connection)


def alembic_config(url: str) -> Config:
    """Alembic's own settings for the database at `url`."""
    config = Config(attributes={"url": url})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _is_our_creation(connection: Connection) -> bool:
    comment = connection.scalar(text("SELECT obj_description(to_regnamespace('auth'), 'pg_namespace')"))
    return bool(comment == auth.CREATED_BY_US)


def _add_local_user(connection: Connection) -> None:
    user = {"user_id": LOCAL_USER}
    for table, row in (
        (auth.users, {"id": LOCAL_USER, "email": LOCAL_EMAIL}),
        (public.profiles, {"id": LOCAL_USER, "email": LOCAL_EMAIL, "full_name": "Local user", "role": "admin"}),
        (public.credit_accounts, {**user, "current_balance": LOCAL_CREDITS}),
        (public.notification_preferences, user),
    ):
        connection.execute(insert(table).values(row).on_conflict_do_nothing())
    if not connection.scalar(select(public.projects.c.id).where(public.projects.c.user_id == LOCAL_USER).limit(1)):
        connection.execute(insert(public.projects).values(name="Local", **user))
