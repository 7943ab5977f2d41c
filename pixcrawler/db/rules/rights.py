"""Who may do what with which rows: a table to read, and the SQL that makes it so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from pixcrawler.db import crawler, public

USER = "authenticated"
WORKER = "pixcrawler_worker"
OUTSIDERS = ("anon", USER)

ME = "(SELECT auth.uid())"  # asked once a statement, not once a row
OWN = f"user_id = {ME}"
IN_OWN_PROJECT = f"EXISTS (SELECT FROM public.projects p WHERE p.id = project_id AND p.user_id = {ME})"
OF_OWN_JOB = (
    "EXISTS (SELECT FROM public.crawl_jobs j JOIN public.projects p ON p.id = j.project_id "
    f"WHERE j.id = crawl_job_id AND p.user_id = {ME})"
)
ALL = "SELECT INSERT UPDATE DELETE"


@dataclass(frozen=True, slots=True)
class Right:
    """One operation of a role on a table: on the rows that meet a condition, with some of the columns or all.

    An own row cannot be given away: what it becomes must meet the condition as well.
    """

    role: str
    table: str  # with its schema
    operation: str
    rows: str
    columns: tuple[str, ...] = ()

    @property
    def granted(self) -> str:
        """As in GRANT."""
        return f"{self.operation} ({', '.join(self.columns)})" if self.columns else self.operation


def _rights(role: str, table: str, operations: str, rows: str, columns: str = "") -> Iterator[Right]:
    for operation in operations.split():
        yield Right(role, table, operation, rows, tuple(columns.split()))


def _user(table: str, operations: str, rows: str, columns: str = "") -> Iterator[Right]:
    return _rights(USER, f"public.{table}", operations, rows, columns)


def _worker(table: str, operations: str, columns: str = "") -> Iterator[Right]:
    return _rights(WORKER, table, operations, "true", columns)


# `anon` is in neither: without a sign-in there is nothing to see. `service_role` may do everything in `public`.
USERS: tuple[Right, ...] = (
    *_user("profiles", "SELECT", f"id = {ME}"),
    # All columns: Drizzle names every one of them, those with their defaults too.
    *_user("profiles", "INSERT", f"id = {ME} AND role = 'user'"),
    *_user(
        "profiles",
        "UPDATE",
        f"id = {ME}",
        "full_name avatar_url onboarding_completed onboarding_completed_at updated_at",
    ),
    *_user("projects", ALL, OWN),
    *_user("crawl_jobs", "SELECT INSERT UPDATE", IN_OWN_PROJECT),
    *_user("images", "SELECT", OF_OWN_JOB),
    *_user("activity_logs", "SELECT INSERT", OWN),
    *_user("api_keys", ALL, OWN),
    *_user("credit_accounts", "SELECT", OWN),
    *_user("credit_transactions", "SELECT", OWN),
    *_user("notifications", ALL, OWN),
    *_user("notification_preferences", ALL, OWN),
    *_user("usage_metrics", "SELECT", OWN),
)

# What a crawl process does (`db.ledger`) and what a Scrapyd node is asked (`db.overview`, `db.check`).
WORKERS: tuple[Right, ...] = (
    *_worker("public.crawl_jobs", "SELECT", "id project_id name keywords status progress max_images created_at"),
    *_worker("public.images", "SELECT", "id metadata"),  # of the rows it adds, and those it replaces by better ones
    *_worker("public.images", "INSERT"),
    *_worker("public.images", "UPDATE", "is_duplicate metadata"),
    *_worker("crawler.jobs", "SELECT"),
    *_worker("crawler.jobs", "UPDATE", "kept"),
    *_worker("crawler.runs", "SELECT"),
    *_worker("crawler.runs", "UPDATE", "slices state outcome not_before funnel ended_at"),
    *_worker("crawler.attempts", "SELECT"),
    *_worker("crawler.attempts", "UPDATE", "state lease_until heartbeat_at decided reason started_at ended_at"),
    *_worker("crawler.candidates", "SELECT INSERT"),
    *_worker(
        "crawler.candidates",
        "UPDATE",
        "begun received decision detail image_id decided_at duplicate_of distance likeness",
    ),
    *_worker("crawler.fingerprints", "SELECT INSERT UPDATE"),
    *_worker("crawler.takedowns", "SELECT", "id kind value"),
    *_worker("crawler.exports", "SELECT"),
    *_worker("crawler.hosts", "SELECT INSERT"),
    *_worker("crawler.hosts", "UPDATE", "not_before reason updated_at"),
)

SHARED = tuple(sorted(table.fullname for table in public.metadata.tables.values()))
OURS = tuple(sorted(table.fullname for table in crawler.metadata.tables.values()))
STAMPED = tuple(sorted(table.fullname for table in public.metadata.tables.values() if "updated_at" in table.columns))

FORGET = """
DO $$
DECLARE
    former record;
BEGIN
    FOR former IN
        SELECT polname, polrelid::regclass AS place FROM pg_policy
        WHERE polname LIKE 'pixcrawler\\_%' AND polrelid = ANY ('{{{tables}}}'::regclass[])
    LOOP
        EXECUTE format('DROP POLICY %I ON %s', former.polname, former.place);
    END LOOP;
END $$;
"""

STAMP = """
CREATE OR REPLACE TRIGGER handle_updated_at BEFORE UPDATE ON {table}
    FOR EACH ROW EXECUTE FUNCTION public.handle_updated_at();
""".strip()

# A number is drawn for each new row. Whoever may set the counter back keeps everybody from adding rows.
COUNTERS = """
DO $$
DECLARE
    counter record;
BEGIN
    FOR counter IN
        SELECT pg_get_serial_sequence(adding.place, 'id') AS name, adding.roles FROM (VALUES
            {adding}
        ) AS adding(place, roles)
        WHERE pg_get_serial_sequence(adding.place, 'id') IS NOT NULL
    LOOP
        EXECUTE format('REVOKE ALL ON SEQUENCE %s FROM PUBLIC, anon, authenticated', counter.name);
        EXECUTE format('GRANT USAGE ON SEQUENCE %s TO %s', counter.name, counter.roles);
    END LOOP;
END $$;
"""


def shared() -> str:
    """SQL: rights and policies of the front end's tables, and the triggers on them."""
    return "\n".join(
        [
            "GRANT USAGE ON SCHEMA public, auth TO anon, authenticated, service_role;",
            FORGET.format(tables=",".join(SHARED)),
            *map(_table, SHARED),
            COUNTERS.format(adding=",\n            ".join(map(_adding, SHARED))),
        ]
    )


def _table(table: str) -> str:
    rights = [right for right in USERS + WORKERS if right.table == table]
    stamped = [STAMP.format(table=table)] if table in STAMPED else []
    return "\n".join(
        [
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;",
            f"REVOKE ALL ON {table} FROM PUBLIC, anon, authenticated, pixcrawler_worker;",
            f"GRANT ALL ON {table} TO service_role;",
            *_grants(rights),
            *map(_policy, rights),
            *stamped,
            "",
        ]
    )


def _adding(table: str) -> str:
    roles = [right.role for right in USERS + WORKERS if (right.table, right.operation) == (table, "INSERT")]
    return f"('{table}', '{', '.join([*roles, 'service_role'])}')"


def ours() -> str:
    """SQL: what a crawl process may do in schema `crawler`, where nobody else may do anything."""
    rights = [right for right in WORKERS if right.table in OURS]
    return "\n".join(
        [
            "GRANT USAGE ON SCHEMA crawler, public TO pixcrawler_worker;",
            f"REVOKE ALL ON {', '.join(OURS)} FROM pixcrawler_worker;",
            "GRANT EXECUTE ON FUNCTION crawler.funnel_adds_up(jsonb) TO pixcrawler_worker;",
            *_grants(rights),
        ]
    )


def _grants(rights: list[Right]) -> Iterator[str]:
    for (table, role), some in groupby(rights, lambda right: (right.table, right.role)):
        yield f"GRANT {', '.join(right.granted for right in some)} ON {table} TO {role};"


def _policy(right: Right) -> str:
    name = f"pixcrawler_{right.role.removeprefix('pixcrawler_')}_{right.operation.lower()}"
    using = "" if right.operation == "INSERT" else f" USING ({right.rows})"
    checked = f" WITH CHECK ({right.rows})" if right.operation in ("INSERT", "UPDATE") else ""
    return f"CREATE POLICY {name} ON {right.table} FOR {right.operation} TO {right.role}\n   {using}{checked};"
