"""What operators ask a node about jobs and health, with a real database, without one, and with one that hangs."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from loopback import closed_port
from scrapyd_node.nodes import Start
from scrapyd_node.played_runner import GOOD
from worlds import World, crawling

from pixcrawler.jobs import Spent

Sql = Callable[..., list[tuple[Any, ...]]]
PASSWORD = "open-sesame"


def with_password(url: str) -> str:
    return url.replace("postgres@", f"postgres:{PASSWORD}@")


def test_jobs_newest_first_with_what_an_operator_needs(scrapyd: Start, world: World, database_url: str) -> None:
    for n in range(3):
        world.insert([f"secret keyword {n}"], 10 + n)
    world.sql("UPDATE public.crawl_jobs SET status = 'cancelled' WHERE id = 2")
    node = scrapyd(DATABASE_URL=with_password(database_url))
    answer = node.get("crawljobs.json")
    assert [job["id"] for job in answer.data["jobs"]] == [3, 2, 1]
    first = answer.data["jobs"][0]
    facts = {"id", "status", "state", "progress", "asked", "kept", "outcome", "reason", "created_at", "finished_at"}
    facts |= {"trace"}
    assert first.keys() == facts
    assert (first["status"], first["state"], first["asked"], first["kept"]) == ("pending", "pending", 12, 0)
    assert "secret" not in answer.text
    assert [job["id"] for job in node.get("crawljobs.json?limit=2").data["jobs"]] == [3, 2]
    assert [job["id"] for job in node.get("crawljobs.json?status=pending").data["jobs"]] == [3, 1]
    assert [job["id"] for job in node.get("crawljobs.json?status=cancelled&limit=1").data["jobs"]] == [2]
    assert PASSWORD not in node.log


def test_all_about_a_job(scrapyd: Start, world: World, database_url: str) -> None:
    job = world.insert(["secret keyword"], 10)
    world.tick()
    world.crawl("1-1", crawling(4, Spent.EXHAUSTED, keyword="secret keyword"))
    node = scrapyd(DATABASE_URL=database_url)
    answer = node.get(f"crawljob.json?id={job}")
    assert answer.status == 200
    seen = answer.data
    assert (seen["job"]["id"], seen["job"]["asked"]) == (job, 10)
    [run] = seen["runs"]
    assert (run["source"], run["state"], run["found"], run["kept"], run["asked"]) == ("openverse", "short", 4, 4, 10)
    [attempt] = seen["attempts"]
    assert (attempt["run"], attempt["attempt"], attempt["state"]) == (1, 1, "short")
    assert attempt["node"] == world.node.url.removeprefix("http://")
    assert attempt["log"].startswith(world.node.url)  # it ran elsewhere
    assert (seen["funnel"]["found"], seen["funnel"]["kept"]) == (4, 4)
    assert seen["exports"] == []
    assert not seen["job"].keys() & {"name", "keywords", "project_id"}
    log = node.folder / "logs" / "pixcrawler" / "openverse" / "1-1.log"
    log.parent.mkdir(parents=True)
    log.write_text("what it said")
    [attempt] = node.get(f"crawljob.json?id={job}").data["attempts"]
    assert attempt["log"] == "/logs/pixcrawler/openverse/1-1.log"
    assert node.get(attempt["log"].strip("/")).text == "what it said"
    unknown = node.get("crawljob.json?id=99")
    assert (unknown.status, unknown.data["message"]) == (404, "there is no job 99")


def test_a_healthy_node(scrapyd: Start, database_url: str, sql: Sql, tmp_path: Path) -> None:
    node = scrapyd(DATABASE_URL=with_password(database_url), PIXCRAWLER_DATA_DIR=str(tmp_path / "not yet" / "there"))
    healthy = node.get("health.json")
    assert healthy.status == 200, healthy.text
    seen = healthy.data
    assert (seen["healthy"], seen["problems"], seen["node_name"]) == (True, [], "here")
    assert (seen["database"]["reachable"], seen["database"]["schema_right"]) == (True, True)
    assert seen["database"]["seconds"] >= 0
    assert seen["disk_free"] > 0
    assert seen["slots"] == {"max_proc": 2, "running": 0, "pending": 0}
    assert seen["last_start"] is None
    node.run(f"{GOOD}-1")
    seen = node.get("health.json").data
    assert seen["slots"]["running"] == 1
    assert seen["last_start"] is not None
    left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pixcrawler node'"
    node.until(lambda: sql(left) == [(0,)])  # an idle node holds no connection


def test_a_wrong_schema_is_named(scrapyd: Start, database_url: str, sql: Sql) -> None:
    sql("ALTER TABLE public.crawl_jobs DROP COLUMN progress")
    node = scrapyd(DATABASE_URL=database_url)
    ill = node.get("health.json")
    assert ill.status == 503
    assert (ill.data["healthy"], ill.data["database"]["schema_right"]) == (False, False)
    assert ill.data["problems"] == ["public.crawl_jobs.progress: missing"]
    failed = node.get("crawljobs.json")
    assert failed.status == 503
    assert failed.data["message"] == "the database answered: column crawl_jobs.progress does not exist"


@pytest.mark.parametrize("url", ["", "postgresql://joe:open-sesame@127.0.0.1:{port}/x", "mysql://joe:open-sesame@x/y"])
def test_without_a_database_the_node_says_so_and_serves(scrapyd: Start, url: str) -> None:
    node = scrapyd(DATABASE_URL=url.format(port=closed_port()))
    ill = node.get("health.json")
    assert ill.status == 503
    assert (ill.data["healthy"], ill.data["database"]["reachable"], len(ill.data["problems"])) == (False, False, 1)
    refused = node.get("crawljobs.json")
    assert (refused.status, refused.data["message"]) == (503, ill.data["problems"][0])
    assert PASSWORD not in ill.text + refused.text + node.log
    node.run(f"{GOOD}-1")


def test_a_database_that_hangs_keeps_nobody_else_waiting(scrapyd: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hole:  # takes connections, and says nothing
        node = scrapyd(DATABASE_URL=f"postgresql://joe:{PASSWORD}@127.0.0.1:{hole.getsockname()[1]}/x")
        answers = []
        threads = [
            threading.Thread(target=lambda path=path: answers.append(node.get(path)))
            for path in ("health.json", "crawljobs.json", "crawljob.json?id=1")
        ]
        for thread in threads:
            thread.start()
        with hole.accept()[0]:
            asked = time.monotonic()
            while not answers:  # all the time
                node.get("daemonstatus.json")
            patience = time.monotonic() - asked
            assert node.schedule(f"{GOOD}-1").status == 200
            for thread in threads:
                thread.join()
    assert [answer.status for answer in answers] == [503] * 3
    assert not [answer.text for answer in answers if "did not answer" not in answer.text]
    assert patience > 1  # it was waited for, and meanwhile
    assert "Traceback" not in node.log
