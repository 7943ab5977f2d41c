"""What roles were granted, and what of it goes beyond the rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from pixcrawler.db import crawler, public
from pixcrawler.db.rules.rights import USERS, WORKER, WORKERS

TABLES = {table.fullname: table for each in (public, crawler) for table in each.metadata.tables.values()}

# Members of extensions are theirs; what is granted on them comes with the extension.
GRANTED = text("""
WITH grantees AS (
    SELECT 0::oid AS id, 'PUBLIC' AS name
    UNION ALL SELECT oid, rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated', 'pixcrawler_worker')
), objects AS (
    SELECT 'pg_namespace'::regclass AS catalog, oid AS id, 'SCHEMA' AS kind, nspname AS schema,
           quote_ident(nspname) AS name, NULL AS part, nspacl AS acl
    FROM pg_namespace
  UNION ALL
    SELECT 'pg_class'::regclass, oid, CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
           relnamespace::regnamespace::text, format('%I.%I', relnamespace::regnamespace, relname), NULL, relacl
    FROM pg_class
  UNION ALL
    SELECT 'pg_class'::regclass, c.oid, 'TABLE', relnamespace::regnamespace::text,
           format('%I.%I', relnamespace::regnamespace, relname), attname, attacl
    FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
  UNION ALL
    SELECT 'pg_proc'::regclass, oid, 'ROUTINE', pronamespace::regnamespace::text,
           format('%I.%I(%s)', pronamespace::regnamespace, proname, pg_get_function_identity_arguments(oid)), NULL,
           coalesce(proacl, acldefault('f', proowner))
    FROM pg_proc WHERE pronamespace::regnamespace::text = 'crawler'
)
SELECT objects.kind, objects.schema, objects.name, objects.part, grantees.name AS grantee,
       array_agg(privilege_type ORDER BY privilege_type) AS privileges
FROM objects, aclexplode(acl) JOIN grantees ON grantees.id = grantee
WHERE schema IN ('public', 'crawler') AND NOT EXISTS (
    SELECT FROM pg_depend WHERE classid = catalog AND objid = objects.id AND deptype = 'e'
)
GROUP BY 1, 2, 3, 4, 5
ORDER BY 1, 2, 3, 5, 4
""")

# What row level security does not cover and no front end needs: nobody's, on whatever table.
NEVER = frozenset({"TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN"})

# What is right besides the rights on tables: schemas, counters, functions.
HARMLESS = {
    ("SCHEMA", "public"): {"USAGE"},
    ("SEQUENCE", "public"): {"USAGE", "SELECT"},
}
OF_WORKER = {("SCHEMA", "crawler"): {"USAGE"}, ("ROUTINE", "crawler"): {"EXECUTE"}}


@dataclass(frozen=True, slots=True)
class Excess:
    """Privileges that a role should not have, on a whole object or on one column."""

    kind: str
    name: str  # with its schema
    grantee: str
    privileges: tuple[str, ...]
    column: str | None = None
    beyond: tuple[str, ...] = ()  # the columns it should not have; the others it may

    def __str__(self) -> str:
        place = f"{self.name}.{self.column}" if self.column else self.name
        beyond = f" of {', '.join(self.beyond)}" if self.beyond else ""
        return f"{place}: {', '.join(self.privileges)}{beyond} granted to {self.grantee}"

    @property
    def remedy(self) -> str:
        """The statement that takes them away."""
        what = [f"{name} ({_quoted(self.column)})" if self.column else name for name in self.privileges]
        return f"REVOKE {', '.join(what)} ON {self.kind} {self.name} FROM {self.grantee};"


def excess(connection: Connection) -> list[Excess]:
    """What goes beyond the rules, in `public` and `crawler`."""
    found: list[Excess] = []
    for row in connection.execute(GRANTED):
        found += _on_table(row) if row.kind == "TABLE" else _on_object(row)
    return found


def _on_object(row: Any) -> Iterator[Excess]:
    allowed = HARMLESS.get((row.kind, row.schema), set())
    if row.grantee == WORKER:
        allowed = allowed | OF_WORKER.get((row.kind, row.schema), set())
    if more := [name for name in row.privileges if name not in allowed]:
        yield Excess(row.kind, row.name, row.grantee, tuple(more))


def _on_table(row: Any) -> Iterator[Excess]:
    columns = _allowed(row)
    whole = [name for name in row.privileges if name not in columns]
    if whole:
        yield Excess("TABLE", row.name, row.grantee, tuple(whole), row.part)
    for name in row.privileges:
        some = columns.get(name)
        if some and row.part is None:
            beyond = tuple(column.name for column in TABLES[row.name].columns if column.name not in some)
            yield Excess("TABLE", row.name, row.grantee, (name,), beyond=beyond)
        elif some and row.part not in some:
            yield Excess("TABLE", row.name, row.grantee, (name,), row.part)


def _allowed(row: Any) -> dict[str, tuple[str, ...]]:
    """The privileges that the grantee may have on a table, each with its columns; none stands for all."""
    if row.name in TABLES:
        return {r.operation: r.columns for r in USERS + WORKERS if (r.table, r.role) == (row.name, row.grantee)}
    if row.schema == "crawler" or row.grantee == WORKER:
        return {}
    return {name: () for name in row.privileges if name not in NEVER}


def _quoted(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))
