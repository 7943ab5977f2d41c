"""`pixcrawler projects`, `notifications`, `keys`, `credits` and `usage`: what belongs to a user, on a command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pixcrawler.owners import keys

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

MISSING = 2**31 - 1


def told(cli: Cli, *arguments: object) -> Any:
    result = cli(*arguments, "--json")
    assert result.status == 0, result.err
    return json.loads(result.out)


def test_projects_come_change_and_go(cli: Cli, sql: Any) -> None:
    cli("db", "init")
    ((first,),) = sql("SELECT id FROM public.projects")
    made = told(cli, "projects", "create", " Otters ", "--description", "of all kinds")
    assert (made["name"], made["status"], made["description"]) == ("Otters", "active", "of all kinds")
    number = made["id"]
    assert "pixcrawler jobs create --project" in cli("projects", "create", "Bears").out
    assert told(cli, "projects", "rename", number, "Sea otters")["name"] == "Sea otters"
    assert told(cli, "projects", "describe", number, "of one kind")["description"] == "of one kind"
    assert told(cli, "projects", "archive", number)["status"] == "archived"
    assert cli("projects", "restore", number).out == f"project {number}: 'Sea otters', active\n"
    assert [each["id"] for each in told(cli, "projects", "list")][1:] == [number, first]
    assert "Sea otters" in cli("projects", "list", "--limit", 2).out

    job = told(cli, "jobs", "create", "--keywords=otter", "--max-images=5", "--sources=openverse", "--project", number)
    assert [each["id"] for each in told(cli, "jobs", "list", "--project", number)] == [job["id"]]
    assert told(cli, "jobs", "list", "--project", first) == told(cli, "jobs", "list", "--status", "failed") == []
    refused = cli("projects", "delete", number)
    assert refused.status == 2
    assert "1 jobs of it are unfinished: cancel them first" in refused.err
    sql("UPDATE public.crawl_jobs SET status = 'cancelled'")
    assert cli("projects", "delete", number).out == f"project {number} is deleted\n"
    for command in (("delete", number), ("rename", number, "Back"), ("archive", MISSING)):
        assert f"there is no project {command[1]}; see: pixcrawler projects list" in cli("projects", *command).err
    actions = [action for (action,) in sql("SELECT action FROM public.activity_logs ORDER BY timestamp, id")]
    projects = [action for action in actions if action.endswith("_PROJECT")]
    assert projects == [*["CREATE_PROJECT"] * 2, *["UPDATE_PROJECT"] * 4, "DELETE_PROJECT"]
    assert "name: expected" in cli("projects", "create", "two\nlines").err


def test_notifications_are_read(cli: Cli, sql: Any) -> None:
    cli("db", "init")
    sql(
        "INSERT INTO public.notifications (user_id, type, title, message)"
        " SELECT id, 'info', 'Number ' || n, 'It [is] so' FROM public.profiles, generate_series(1, 3) n"
    )
    first, second, third = (each["id"] for each in reversed(told(cli, "notifications", "list")))
    assert told(cli, "notifications", "read", first, third) == {"marked": 2}
    assert [each["id"] for each in told(cli, "notifications", "list", "--unread")] == [second]
    assert cli("notifications", "read", third, "--unread").out == "1 are marked as unread\n"
    shown = cli("notifications", "list").out
    assert "It [is] so" in shown
    assert shown.count("new") == 2
    assert told(cli, "notifications", "read", "--all") == {"marked": 2}
    assert cli("notifications", "read").err == "pixcrawler: say which: pixcrawler notifications read ID…, or --all\n"
    gone = cli("notifications", "read", second, MISSING, "--unread")
    assert "see: pixcrawler notifications list" in gone.err
    assert told(cli, "notifications", "list", "--unread") == []  # all of them or none


def test_keys_are_shown_once_and_revoked(cli: Cli, sql: Any) -> None:
    cli("db", "init")
    made = cli("keys", "create", "importer", "--may", "write", "--rate-limit", 10, "--days", 7)
    key = made.out.strip()
    number = keys.id_of(key)
    assert "shown this once" in made.err
    ((kept, permissions, until),) = sql("SELECT key_hash, permissions, expires_at - created_at FROM public.api_keys")
    assert keys.opens(key, kept)
    assert permissions == ["write"]
    assert until.days in (6, 7)
    listed = cli("keys", "list")
    assert key not in listed.out
    [about] = told(cli, "keys", "list")
    assert (about["id"], about["name"], about["status"], about["rate_limit"]) == (str(number), "importer", "active", 10)
    assert cli("keys", "revoke", number).out == f"key {number} is revoked\n"
    assert told(cli, "keys", "list")[0]["status"] == "revoked"
    assert "see: pixcrawler keys list" in cli("keys", "revoke", uuid4()).err
    assert cli("keys", "create", "x", "--may", "everything").status == 2
    assert told(cli, "keys", "create", "other")["about"]["permissions"] == ["read"]


def test_credits_and_usage(cli: Cli, sql: Any) -> None:
    cli("db", "init")
    sql(
        "INSERT INTO public.usage_metrics (user_id, metric_date, images_processed, images_limit, storage_limit_gb,"
        " api_calls_limit, bandwidth_limit_gb) SELECT id, current_date, 7, 10000, 100, 50000, 500 FROM public.profiles"
    )
    ((balance,),) = sql("SELECT current_balance FROM public.credit_accounts")
    found = told(cli, "credits")
    assert found["current_balance"] == balance
    assert sum(each["amount"] for each in found["transactions"]) == balance
    assert cli("credits").out.startswith(f"{balance:,} credits, 0 more held for jobs at work; ")
    [day] = told(cli, "usage", "--days", 7)
    assert (day["images_processed"], day["images_limit"]) == (7, 10000)
    assert day["day"] in cli("usage").out


def test_users_of_a_shared_database_are_named(cli: Cli, sql: Any) -> None:
    cli("db", "init")
    user = uuid4()
    sql("INSERT INTO auth.users (id, email) VALUES (%s, 'ada@example.org')", [user])
    sql("INSERT INTO public.profiles (id, email) VALUES (%s, 'ada@example.org') ON CONFLICT DO NOTHING", [user])
    assert told(cli, "projects", "create", "Hers", "--user", "ada@example.org")["name"] == "Hers"
    assert sql("SELECT user_id FROM public.projects WHERE name = 'Hers'") == [(user,)]
    assert "Hers" not in cli("projects", "list").out
    assert "nobody here has the address bob@example.org" in cli("projects", "list", "--user", "bob@example.org").err
    sql("COMMENT ON SCHEMA auth IS NULL")
    assert "say whose with --user MAIL" in cli("keys", "list").err
    assert "Hers" in cli("projects", "list", "--user", "ada@example.org").out


def test_what_does_not_answer_is_named(cli: Cli, settings_env: Any) -> None:
    cli("db", "init")
    settings_env(SCRAPYD_NODES="http://127.0.0.1:9#2")
    seen = cli("health", "--json")
    assert seen.status == 1
    found = json.loads(seen.out)
    assert (found["status"], found["database"]["ok"], found["storage"]["ok"]) == ("degraded", True, True)
    assert not found["nodes"]["127.0.0.1:9"]["ok"]
    assert not found["exporter"]["ok"]
    assert "node 127.0.0.1:9" in cli("health").out
