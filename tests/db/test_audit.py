"""Every hole between tenants is found by name, and closed by the SQL that is printed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy import NullPool, create_engine, text

from pixcrawler.db import audit, public, rules, schema
from pixcrawler.db.engine import normalized

if TYPE_CHECKING:
    from tests.conftest import Sql

# hole → the line that names it
HOLES = {
    "ALTER TABLE public.api_keys DISABLE ROW LEVEL SECURITY": "public.api_keys: row level security is off",
    "CREATE TABLE public.notes (id int)": "public.notes: row level security is off",
    "CREATE VIEW public.v AS SELECT * FROM public.images": (
        "public.v: a view without security_invoker shows rows of all tenants"
    ),
    'CREATE VIEW public."My View" WITH (security_invoker = off) AS SELECT 1 AS one': (
        'public."My View": a view without security_invoker shows rows of all tenants'
    ),
    "CREATE MATERIALIZED VIEW public.m AS SELECT * FROM public.images; GRANT SELECT ON public.m TO anon": (
        "public.m: readable by anon, and row level security cannot be had here"
    ),
    "CREATE FUNCTION public.f(a int) RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = '' RETURN 1": (
        "public.f(a integer): security definer, executable by PUBLIC, anon, authenticated"
    ),
    "CREATE FUNCTION public.g() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = '' RETURN 1;"
    " REVOKE ALL ON FUNCTION public.g() FROM PUBLIC; GRANT EXECUTE ON FUNCTION public.g() TO anon": (
        "public.g(): security definer, executable by anon"
    ),
    "CREATE FUNCTION public.h() RETURNS int LANGUAGE sql SECURITY DEFINER RETURN 1;"
    " REVOKE ALL ON FUNCTION public.h() FROM PUBLIC": "public.h(): security definer with a mutable search_path",
    "CREATE PROCEDURE public.p() LANGUAGE sql SECURITY DEFINER SET search_path = '' AS 'SELECT 1'": (
        "public.p(): security definer, executable by PUBLIC, anon, authenticated"
    ),
    "GRANT EXECUTE ON FUNCTION public.handle_new_user() TO anon": (
        "public.handle_new_user(): security definer, executable by anon"
    ),
    "GRANT SELECT ON public.images TO anon": "public.images: SELECT granted to anon",
    "GRANT SELECT ON public.images TO PUBLIC": "public.images: SELECT granted to PUBLIC",
    "GRANT TRUNCATE, REFERENCES, TRIGGER ON public.projects TO authenticated": (
        "public.projects: REFERENCES, TRIGGER, TRUNCATE granted to authenticated"
    ),
    "CREATE TABLE public.plans (id int); ALTER TABLE public.plans ENABLE ROW LEVEL SECURITY;"
    " GRANT SELECT, TRUNCATE ON public.plans TO anon": "public.plans: TRUNCATE granted to anon",
    "GRANT UPDATE ON public.credit_accounts TO authenticated": (
        "public.credit_accounts: UPDATE granted to authenticated"
    ),
    "GRANT UPDATE (current_balance) ON public.credit_accounts TO authenticated": (
        "public.credit_accounts.current_balance: UPDATE granted to authenticated"
    ),
    "GRANT UPDATE ON public.profiles TO authenticated": (
        "public.profiles: UPDATE of id, email, role, created_at granted to authenticated"
    ),
    "GRANT UPDATE (role) ON public.profiles TO authenticated": (
        "public.profiles.role: UPDATE granted to authenticated"
    ),
    "GRANT DELETE ON public.crawl_jobs TO authenticated": "public.crawl_jobs: DELETE granted to authenticated",
    "GRANT UPDATE ON SEQUENCE public.images_id_seq TO anon": "public.images_id_seq: UPDATE granted to anon",
    "GRANT CREATE ON SCHEMA public TO authenticated": "public: CREATE granted to authenticated",
    "GRANT USAGE ON SCHEMA crawler TO anon": "crawler: USAGE granted to anon",
    "GRANT SELECT ON crawler.jobs TO authenticated": "crawler.jobs: SELECT granted to authenticated",
    "GRANT SELECT (kept) ON crawler.jobs TO authenticated": "crawler.jobs.kept: SELECT granted to authenticated",
    "GRANT EXECUTE ON FUNCTION crawler.funnel_adds_up TO PUBLIC": (
        "crawler.funnel_adds_up(funnel jsonb): EXECUTE granted to PUBLIC"
    ),
    "GRANT SELECT ON public.credit_accounts TO pixcrawler_worker": (
        "public.credit_accounts: SELECT granted to pixcrawler_worker"
    ),
    "GRANT UPDATE ON crawler.attempts TO pixcrawler_worker": (
        "crawler.attempts: UPDATE of run, attempt, job, node, cancel_sent_at, log, created_at"
        " granted to pixcrawler_worker"
    ),
    "CREATE POLICY everybody ON public.images USING (true)": (
        "public.images: policy everybody lets PUBLIC at every row"
    ),
    "CREATE POLICY adding ON public.notifications FOR INSERT TO anon, authenticated WITH CHECK (true)": (
        "public.notifications: policy adding lets anon, authenticated at every row"
    ),
    "DROP TRIGGER handle_updated_at ON public.projects": "public.projects: no trigger calls handle_updated_at()",
    "ALTER TABLE public.profiles DISABLE TRIGGER handle_updated_at": (
        "public.profiles: no trigger calls handle_updated_at()"
    ),
    "DROP TRIGGER on_auth_user_created ON auth.users": "auth.users: no trigger calls handle_new_user()",
    "DROP PUBLICATION supabase_realtime": "publication supabase_realtime: missing",
    "ALTER PUBLICATION supabase_realtime DROP TABLE public.notifications": (
        "publication supabase_realtime: lacks public.notifications"
    ),
    "ALTER PUBLICATION supabase_realtime ADD TABLE crawler.jobs": (
        "publication supabase_realtime: publishes crawler.jobs"
    ),
    "DROP PUBLICATION supabase_realtime; CREATE PUBLICATION supabase_realtime FOR ALL TABLES": (
        "publication supabase_realtime: publishes all tables, those of crawler too"
    ),
}

HARMLESS = [
    "CREATE VIEW public.v WITH (security_invoker = true) AS SELECT * FROM public.images; GRANT SELECT ON v TO anon",
    "CREATE MATERIALIZED VIEW public.m AS SELECT 1 AS one",
    "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql RETURN 1",
    "CREATE POLICY admins ON public.images TO authenticated USING (current_setting('a.b', true) = 'c')",
    "CREATE POLICY narrower ON public.images AS RESTRICTIVE USING (true)",
    "CREATE POLICY ours ON public.images TO service_role USING (true)",
    "GRANT SELECT ON public.credit_accounts TO authenticated; GRANT ALL ON public.images TO service_role",
    "CREATE PUBLICATION backup FOR ALL TABLES",
    "CREATE SCHEMA private; CREATE TABLE private.t (id int); GRANT ALL ON private.t TO anon",
]

Script = Callable[[str, str], None]


def holes(url: str) -> list[str]:
    with create_engine(normalized(url), poolclass=NullPool).begin() as connection:
        return [str(finding) for finding in audit.audit(connection)]


def printed(url: str) -> str:
    with create_engine(normalized(url), poolclass=NullPool).begin() as connection:
        return audit.sql(connection)


@pytest.fixture
def run_as_owner(tmp_path: Path) -> Script:
    """Runs a script as the database's owner would: with psql, else through the driver in one go."""

    def run(url: str, script: str) -> None:
        if shutil.which("psql") is None:
            with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
                connection.execute(script)  # type: ignore[call-overload]
            return
        file = tmp_path / "rules.sql"
        file.write_text(script)
        command = ["psql", "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", f"--file={file}", url]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    return run


def test_a_database_of_ours_has_no_holes(database_url: str) -> None:
    assert holes(database_url) == []


@pytest.mark.parametrize("change", HARMLESS)
def test_what_is_harmless_is_not_mentioned(database_url: str, sql: Sql, change: str) -> None:
    sql(change)
    assert holes(database_url) == []


@pytest.mark.parametrize("hole", HOLES)
def test_every_hole_is_named_and_closed(database_url: str, sql: Sql, run_as_owner: Script, hole: str) -> None:
    sql(hole)
    assert holes(database_url) == [HOLES[hole]]
    run_as_owner(database_url, printed(database_url))
    assert holes(database_url) == []


def test_a_role_above_the_rules_is_named(database_url: str, sql: Sql) -> None:
    """Not committed: roles belong to the whole server."""
    with create_engine(normalized(database_url), poolclass=NullPool).connect() as connection:
        connection.execute(text("ALTER ROLE authenticated BYPASSRLS"))
        (found,) = audit.audit(connection)
        assert str(found) == "role authenticated: bypasses row level security"
        connection.execute(text(found.remedy or ""))
        assert audit.audit(connection) == []
        connection.rollback()


def test_all_at_once_and_the_same_again(database_url: str, sql: Sql, run_as_owner: Script) -> None:
    for hole in HOLES:
        if "PUBLICATION" not in hole:
            sql(hole)
    assert len(holes(database_url)) > 25
    for _ in range(2):
        run_as_owner(database_url, printed(database_url))
        assert holes(database_url) == []


LEAKY = """
    ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO anon, authenticated, service_role;
    ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO anon, authenticated, service_role;
    ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;
    CREATE SCHEMA auth;
    CREATE TABLE auth.users (id uuid PRIMARY KEY, email text, raw_user_meta_data jsonb);
    CREATE FUNCTION auth.uid() RETURNS uuid STABLE LANGUAGE sql AS $$
        SELECT (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid
    $$;
"""
OLD_RULES = """
    ALTER TABLE public.credit_accounts ENABLE ROW LEVEL SECURITY;
    CREATE POLICY "Users can update own account" ON public.credit_accounts FOR UPDATE USING (auth.uid() = user_id);
    CREATE POLICY "Users can view own account" ON public.credit_accounts FOR SELECT USING (auth.uid() = user_id);
    CREATE FUNCTION public.handle_new_user() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
        $$ BEGIN INSERT INTO public.profiles (id, email) VALUES (NEW.id, NEW.email); RETURN NEW; END $$;
    CREATE TRIGGER on_auth_user_created AFTER INSERT ON auth.users
        FOR EACH ROW EXECUTE FUNCTION public.handle_new_user();
"""
SIGN_UP = """
    INSERT INTO auth.users VALUES ('aaaaaaaa-0000-4000-8000-000000000000', 'ada@users.example', '{"name": "Ada"}')
"""


def test_a_foreign_database_with_everything_open(empty_database_url: str, run_as_owner: Script) -> None:
    """As a front end's migrations leave it, where default privileges give everything to everybody."""
    run_as_owner(empty_database_url, rules.roles() + LEAKY)
    with create_engine(normalized(empty_database_url), poolclass=NullPool).begin() as connection:
        public.metadata.create_all(connection)
    run_as_owner(empty_database_url, OLD_RULES)
    before = holes(empty_database_url)
    assert "schema crawler: not up to date; run `pixcrawler db upgrade`" in before
    run_as_owner(empty_database_url, printed(empty_database_url))
    assert holes(empty_database_url) == ["schema crawler: not up to date; run `pixcrawler db upgrade`"]
    schema.initialise(empty_database_url)
    assert holes(empty_database_url) == []
    run_as_owner(empty_database_url, printed(empty_database_url) + SIGN_UP)
    assert holes(empty_database_url) == []
    with psycopg.connect(empty_database_url) as connection:
        claims = """{"sub": "aaaaaaaa-0000-4000-8000-000000000000"}"""
        connection.execute("SELECT set_config('request.jwt.claims', %s, true)", (claims,))
        connection.execute("SET LOCAL ROLE authenticated")
        assert connection.execute("SELECT current_balance FROM public.credit_accounts").fetchall() == [(100,)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("UPDATE public.credit_accounts SET current_balance = 101")


def test_the_worker_may_work_in_a_foreign_database(empty_database_url: str, run_as_owner: Script) -> None:
    run_as_owner(empty_database_url, LEAKY.replace("ALTER DEFAULT", "-- ALTER DEFAULT"))
    with create_engine(normalized(empty_database_url), poolclass=NullPool).begin() as connection:
        public.metadata.create_all(connection)
    schema.upgrade(empty_database_url)
    run_as_owner(empty_database_url, printed(empty_database_url))
    with psycopg.connect(empty_database_url) as connection:
        rights = connection.execute(
            "SELECT has_table_privilege('pixcrawler_worker', 'public.images', 'INSERT'),"
            " has_table_privilege('pixcrawler_worker', 'crawler.candidates', 'INSERT'),"
            " has_table_privilege('pixcrawler_worker', 'public.images', 'UPDATE')"
        ).fetchone()
    assert rights == (True, True, False)


def test_a_database_without_a_front_end_is_told_so(empty_database_url: str) -> None:
    found = holes(empty_database_url)
    assert "public.crawl_jobs: missing" in found
    assert "auth.users: missing" in found
