from typing import Any

import psycopg


def test_a_database_of_ours_keeps_its_tenants_apart(cli: Any) -> None:
    result = cli("db", "audit")
    assert (result.status, result.out, result.err) == (0, "the database keeps its tenants apart\n", "")


def test_holes_are_named_one_a_line_and_closed_by_the_sql(cli: Any, sql: Any, database_url: str) -> None:
    sql("ALTER TABLE public.api_keys DISABLE ROW LEVEL SECURITY; GRANT SELECT ON crawler.jobs TO anon")
    result = cli("db", "audit")
    assert (result.status, result.err) == (1, "")
    assert result.out.splitlines() == [
        "public.api_keys: row level security is off",
        "crawler.jobs: SELECT granted to anon",
    ]
    script = cli("db", "audit", "--sql")
    assert (script.status, script.err) == (0, "")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(script.out)
    assert cli("db", "audit").status == 0
