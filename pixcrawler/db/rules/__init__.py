"""The rules of the shared database, as SQL: roles, rights, policies, triggers, publication.

In a database that we created all of them hold, in a foreign one those of schema `crawler`; for its owner the rest is
printed (`pixcrawler db audit --sql`). All of it may be run any number of times.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from pixcrawler.db.rules import grants, rights

NOT_ALLOWED = "42501"
IDENTITIES = text("SELECT format('%s %s', to_regclass('crawler.jobs')::oid, to_regrole('pixcrawler_worker')::oid)")
MARK = text("SELECT obj_description(to_regnamespace('crawler'), 'pg_namespace')")
HAS_WORKER = text("SELECT to_regrole('pixcrawler_worker') IS NOT NULL")
PUBLISHED = text("SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = 'supabase_realtime')")


def _file(name: str) -> str:
    return Path(__file__).with_name(f"{name}.sql").read_text(encoding="utf-8")


def roles() -> str:
    """SQL: the roles that all rules speak of."""
    return _file("roles")


def shared() -> str:
    """SQL: the rules of what belongs to the front end."""
    return "\n".join([_file("triggers"), rights.shared(), _file("publication")])


def ours() -> str:
    """SQL: the rights in schema `crawler`."""
    return rights.ours()


def apply(connection: Connection, *, everywhere: bool) -> list[str]:
    """Applies the rules, `everywhere` or in schema `crawler` alone, unless they hold already. What could not be done.

    Whoever calls it keeps others from doing the same meanwhile.
    """
    _hide(connection)
    if not everywhere and not connection.scalar(HAS_WORKER):
        return []
    script = "\n".join([roles(), shared(), ours()] if everywhere else [ours()])
    if connection.scalar(MARK) == _mark(connection, script):
        return []
    refusal = _try(connection, script)
    if refusal:
        return [f"rights and policies are not in place: {refusal}; `pixcrawler db audit --sql` prints them"]
    run(connection, f"COMMENT ON SCHEMA crawler IS '{_mark(connection, script)}'")
    return []


def publish(connection: Connection) -> list[str]:
    """Lets the front end see changes as they happen, where it looks for them. What could not be done."""
    refusal = _try(connection, _file("publication")) if connection.scalar(PUBLISHED) else None
    return [f"the publication supabase_realtime lacks crawl_jobs or notifications: {refusal}"] if refusal else []


def run(connection: Connection, script: str) -> None:
    """Runs statements, however many."""
    connection.exec_driver_sql(script, execution_options={"no_parameters": True})


def _hide(connection: Connection) -> None:
    """Takes away what default privileges have given outsiders in schema `crawler`: new tables come with them."""
    for found in grants.excess(connection):
        if found.name.partition(".")[0] == "crawler":
            run(connection, found.remedy)


def _mark(connection: Connection, script: str) -> str:
    """Tells these rules from others, and tables and roles that were made anew from those before."""
    told = f"{script} {connection.scalar(IDENTITIES)}"
    return f"Owned by PixCrawler; rules {hashlib.sha256(told.encode()).hexdigest()[:16]}"


def _try(connection: Connection, script: str) -> str | None:
    """Runs all statements or none. Why it is not allowed to."""
    try:
        with connection.begin_nested():
            run(connection, script)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != NOT_ALLOWED:
            raise
        return str(error.orig).partition("\n")[0]
    return None
