"""Looks for what would let one tenant see or change what belongs to another, in any database.

Every finding is closed by the rules (`db.rules`), or by a statement of its own where something of others is concerned.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from pixcrawler.db import rules
from pixcrawler.db.rules import grants, rights

MISSING = text("SELECT name FROM unnest(CAST(:names AS text[])) AS name WHERE to_regclass(name) IS NULL ORDER BY 1")
OUTSIDERS = text("""
    SELECT 0 AS id, 'PUBLIC' AS name
    UNION ALL SELECT oid::bigint, rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') ORDER BY 2
""")
ABOVE_THE_RULES = text("""
    SELECT rolname FROM pg_roles
    WHERE rolname IN ('anon', 'authenticated', 'pixcrawler_worker') AND (rolbypassrls OR rolsuper) ORDER BY 1
""")

# What an extension brought is not the front end's to change.
RELATIONS = text("""
    SELECT format('%I.%I', relnamespace::regnamespace, relname) AS name, relkind::text AS kind,
        relrowsecurity AS guarded,
        coalesce((
            SELECT option_value::boolean FROM pg_options_to_table(reloptions) WHERE option_name = 'security_invoker'
        ), false) AS invoking,
        ARRAY(
            SELECT outsider.name FROM unnest(CAST(:ids AS bigint[]), CAST(:names AS text[])) AS outsider(id, name)
            WHERE has_any_column_privilege(outsider.id::oid, c.oid, 'SELECT')
        ) AS readers
    FROM pg_class c
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')
    AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e')
    ORDER BY 1
""")
DEFINERS = text("""
    SELECT format('%I.%I(%s)', pronamespace::regnamespace, proname, pg_get_function_identity_arguments(p.oid)) AS name,
        ARRAY(
            SELECT outsider.name FROM unnest(CAST(:ids AS bigint[]), CAST(:names AS text[])) AS outsider(id, name)
            WHERE has_function_privilege(outsider.id::oid, p.oid, 'EXECUTE')
        ) AS callers,
        EXISTS (SELECT FROM unnest(proconfig) AS setting WHERE starts_with(setting, 'search_path=')) AS settled
    FROM pg_proc p
    WHERE prosecdef AND pronamespace::regnamespace::text IN ('public', 'crawler')
    AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e')
    ORDER BY 1
""")
POLICIES = text("""
    SELECT format('%I.%I', relnamespace::regnamespace, relname) AS table, quote_ident(polname) AS policy,
        array_agg(outsider.name ORDER BY outsider.name) AS roles
    FROM pg_policy JOIN pg_class c ON c.oid = polrelid
    JOIN unnest(CAST(:ids AS bigint[]), CAST(:names AS text[])) AS outsider(id, name)
        ON outsider.id::oid = ANY (polroles)
    WHERE relnamespace = 'public'::regnamespace AND polpermissive
    AND 'true' IN (pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
    GROUP BY 1, 2 ORDER BY 1, 2
""")
TRIGGERS = text("""
    SELECT wanted.place, wanted.function
    FROM unnest(CAST(:places AS text[]), CAST(:functions AS text[])) AS wanted(place, function)
    WHERE to_regclass(wanted.place) IS NOT NULL AND NOT EXISTS (
        SELECT FROM pg_trigger JOIN pg_proc p ON p.oid = tgfoid
        WHERE tgrelid = to_regclass(wanted.place) AND proname = wanted.function AND tgenabled <> 'D'
    )
    ORDER BY 1
""")
PUBLISHED = text("""
    SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_publication_tables
    WHERE pubname = 'supabase_realtime' ORDER BY 1
""")
WHOLESALE = text("SELECT puballtables FROM pg_publication WHERE pubname = 'supabase_realtime'")

LIVE = ("public.crawl_jobs", "public.notifications")


EVERYBODY = ", ".join(["PUBLIC", *rights.OUTSIDERS])


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, in one line; and the statement that mends it, unless the rules do."""

    text: str
    remedy: str | None = None

    def __str__(self) -> str:
        return self.text


def audit(connection: Connection) -> list[Finding]:
    """Everything that should not be as it is."""
    outsiders = connection.execute(OUTSIDERS).all()
    them = {"ids": [row.id for row in outsiders], "names": [row.name for row in outsiders]}
    relations = connection.execute(RELATIONS, them).all()
    return [
        *_missing(connection),
        *_roles(connection),
        *_relations(relations),
        *_functions(connection.execute(DEFINERS, them).all()),
        *(Finding(str(found), found.remedy) for found in grants.excess(connection)),
        *_policies(connection.execute(POLICIES, them).all()),
        *_triggers(connection),
        *_publication(connection),
    ]


def sql(connection: Connection) -> str:
    """The rules and the remedies of all findings, to be run by the database's owner; any number of times."""
    upgraded = not _absent(connection, rights.OURS)
    remedies = dict.fromkeys(finding.remedy for finding in audit(connection) if finding.remedy)
    parts = [
        "BEGIN;",
        rules.roles(),
        *remedies,
        "",
        rules.shared(),
        rules.ours() if upgraded else "-- Schema crawler: when `pixcrawler db upgrade` has made it, ask again.",
        "COMMIT;",
    ]
    return "\n".join(parts)


def _missing(connection: Connection) -> Iterator[Finding]:
    if _absent(connection, rights.OURS):
        yield Finding("schema crawler: not up to date; run `pixcrawler db upgrade`")
    for name in _absent(connection, [*rights.SHARED, "auth.users"]):
        yield Finding(f"{name}: missing")


def _absent(connection: Connection, names: Sequence[str]) -> list[str]:
    return list(connection.scalars(MISSING, {"names": list(names)}))


def _roles(connection: Connection) -> Iterator[Finding]:
    for role in connection.scalars(ABOVE_THE_RULES):
        yield Finding(f"role {role}: bypasses row level security", f"ALTER ROLE {role} NOSUPERUSER NOBYPASSRLS;")


def _relations(rows: Iterable[Any]) -> Iterator[Finding]:
    for row in rows:
        if row.kind in ("r", "p") and not row.guarded:
            told = f"{row.name}: row level security is off"
            yield Finding(told, f"ALTER TABLE {row.name} ENABLE ROW LEVEL SECURITY;")
        elif row.kind == "v" and not row.invoking:
            told = f"{row.name}: a view without security_invoker shows rows of all tenants"
            yield Finding(told, f"ALTER VIEW {row.name} SET (security_invoker = on);")
        elif row.kind in ("m", "f") and row.readers:
            told = f"{row.name}: readable by {', '.join(row.readers)}, and row level security cannot be had here"
            yield Finding(told, f"REVOKE ALL ON {row.name} FROM {EVERYBODY};")


def _functions(rows: Iterable[Any]) -> Iterator[Finding]:
    for row in rows:
        if row.callers:
            told = f"{row.name}: security definer, executable by {', '.join(row.callers)}"
            yield Finding(told, f"REVOKE EXECUTE ON ROUTINE {row.name} FROM {EVERYBODY};")
        if not row.settled:
            told = f"{row.name}: security definer with a mutable search_path"
            yield Finding(told, f"ALTER ROUTINE {row.name} SET search_path = public, pg_temp;")


def _policies(rows: Iterable[Any]) -> Iterator[Finding]:
    for row in rows:
        told = f"{row.table}: policy {row.policy} lets {', '.join(row.roles)} at every row"
        yield Finding(told, f"DROP POLICY {row.policy} ON {row.table};")


def _triggers(connection: Connection) -> Iterator[Finding]:
    wanted = {"auth.users": "handle_new_user", **dict.fromkeys(rights.STAMPED, "handle_updated_at")}
    named = {"places": list(wanted), "functions": list(wanted.values())}
    for table, function in connection.execute(TRIGGERS, named):
        yield Finding(f"{table}: no trigger calls {function}()")


def _publication(connection: Connection) -> Iterator[Finding]:
    wholesale = connection.scalar(WHOLESALE)
    if wholesale is None:
        yield Finding("publication supabase_realtime: missing")
        return
    published = list(connection.scalars(PUBLISHED))
    for table in LIVE:
        if table not in published:
            yield Finding(f"publication supabase_realtime: lacks {table}")
    private = [table for table in published if table.startswith("crawler.")]
    if private and wholesale:
        others = ", ".join(table for table in published if table not in private)
        anew = f"DROP PUBLICATION supabase_realtime; CREATE PUBLICATION supabase_realtime FOR TABLE {others};"
        yield Finding("publication supabase_realtime: publishes all tables, those of crawler too", anew)
        return
    for table in private:
        told = f"publication supabase_realtime: publishes {table}"
        yield Finding(told, f"ALTER PUBLICATION supabase_realtime DROP TABLE {table};")
