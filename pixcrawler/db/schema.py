"""Creates and upgrades what we own of a database. `alembic` does the work; see `migrations/`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, NullPool, Table, create_engine, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError

from pixcrawler.db import auth, public, rules
from pixcrawler.db.engine import connect_errors, normalized
from pixcrawler.errors import SchemaMismatch

MIGRATIONS = Path(__file__).with_name("migrations")
LOCK = 7_102_017_416  # any number nobody else locks: one process at a time changes what is not rows
LOCAL_USER = UUID("00000000-0000-4000-8000-000000000001")  # owns the jobs of a database we created
LOCAL_EMAIL = "local@localhost"
LOCAL_NAME = "Local user"
LOCAL_CREDITS = 1_000_000_000  # an own machine costs its owner nothing; half of what an integer holds

# Whatever opened the account, or a version that kept no books: its transactions sum to its balance.
OPEN_BOOKS = text("""
    INSERT INTO public.credit_transactions (account_id, user_id, type, description, amount, balance_after)
    SELECT a.id, a.user_id, 'bonus', 'Credits of the local user',
           a.current_balance - coalesce(sum(t.amount), 0), a.current_balance
    FROM public.credit_accounts a LEFT JOIN public.credit_transactions t ON t.account_id = a.id
    WHERE a.user_id = :user
    GROUP BY a.id HAVING :new OR count(t.id) = 0
""")


def upgrade(url: str) -> list[str]:
    """Brings the schema `crawler` up to date; creates `auth` and `public` where the front end's tables are missing.

    Returns what could not be done, for people to read.
    """
    with _clear_refusals(url):
        command.upgrade(alembic_config(url), "head")
    with _alone(url) as connection:
        return rules.apply(connection, everywhere=_is_our_creation(connection))


def initialise(url: str) -> list[str]:
    """Upgrades, and gives a database we created its local user, project and account. Any number of times.

    Returns what could not be done, for people to read.
    """
    remarks = upgrade(url)
    with _alone(url) as connection:
        if _is_our_creation(connection):
            _add_local_user(connection)
        else:
            remarks += rules.publish(connection)
    return remarks


@contextmanager
def _alone(url: str) -> Iterator[Connection]:
    """A transaction that migrations and others of its kind wait for."""
    with (
        _clear_refusals(url),
        create_engine(normalized(url), poolclass=NullPool, connect_args={"prepare_threshold": None}).begin() as ours,
    ):
        ours.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        yield ours


@contextmanager
def _clear_refusals(url: str) -> Iterator[None]:
    try:
        with connect_errors(normalized(url)):
            yield
    except DBAPIError as error:
        reason = str(error.orig).partition("\n")[0]
        raise SchemaMismatch(f"the database cannot be upgraded: {reason}") from error


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
    new = _add(connection, auth.users, {"id": LOCAL_USER, "email": LOCAL_EMAIL})
    for table, row in (  # which a trigger may have added already
        (public.profiles, {"id": LOCAL_USER, "email": LOCAL_EMAIL}),
        (public.credit_accounts, user),
        (public.notification_preferences, user),
    ):
        _add(connection, table, row)
    if new:
        profiles, accounts = public.profiles, public.credit_accounts
        changed = {"full_name": LOCAL_NAME, "role": "admin"}
        connection.execute(update(profiles).where(profiles.c.id == LOCAL_USER).values(changed))
        connection.execute(
            update(accounts).where(accounts.c.user_id == LOCAL_USER).values(current_balance=LOCAL_CREDITS)
        )
    connection.execute(OPEN_BOOKS, {"user": LOCAL_USER, "new": new})
    if not connection.scalar(select(public.projects.c.id).where(public.projects.c.user_id == LOCAL_USER).limit(1)):
        connection.execute(insert(public.projects).values(name="Local", **user))


def _add(connection: Connection, table: Table, row: Mapping[str, object]) -> bool:
    """Inserts a row unless it is there. Whether it was not."""
    added = insert(table).values(dict(row)).on_conflict_do_nothing().returning(table.c.id)
    return connection.scalar(added) is not None
