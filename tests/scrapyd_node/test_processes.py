"""Crawl processes: started, bounded, ended, and never outliving their node."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

import psutil
import pytest
from loopback import web
from scrapyd_node.nodes import Answer, Node, Start
from scrapyd_node.played_runner import BUSY, EMIGRANT, FAMILY, GOOD, PARENT, QUICK, WORKERS

from pixcrawler.config import crawl_environment, source_names

ROOT = Path(__file__).parents[2]
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs what only Linux does")


def gone(pid: int | str) -> bool:
    return not psutil.pid_exists(int(pid)) or psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE


@contextmanager
def locked(file: Path, how: str = "EXCLUSIVE") -> Iterator[None]:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute(f"BEGIN {how}")
        yield


def put_row(node: Node, message: str) -> None:
    with closing(sqlite3.connect(node.folder / "dbs" / "pixcrawler.db", timeout=30)) as connection:
        connection.execute("INSERT INTO spider_queue (priority, message) VALUES (0, ?)", (message.encode(),))
        connection.commit()


def assert_slots_alive(node: Node, number: int = 2) -> None:
    """So many crawls run at once, each of them new."""
    for n in range(number):
        node.run(f"{GOOD}-{900 + n}")
    assert node.get("daemonstatus.json").data["running"] == number


# Slots


def test_a_spawn_that_fails_gives_its_slot_back(scrapyd: Start) -> None:
    node = scrapyd()
    folder = node.folder / "logs" / "pixcrawler"
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("in the way of the folder")
    for n in range(3):
        job = f"{QUICK}-{n}"
        assert node.schedule(job).status == 200
        node.until(lambda job=job: node.state(job) == "finished")
    complaints = [line for line in node.log.splitlines() if f"Job {QUICK}-1 could not be started" in line]
    assert len(complaints) == 1
    assert "Traceback" not in node.log
    folder.unlink()
    assert_slots_alive(node)


def test_rows_that_are_no_jobs_are_dropped_and_the_next_one_starts(scrapyd: Start) -> None:
    node = scrapyd()
    for row in ("", "no json", "[]", "{}", '{"name": "openverse"}', '{"name": "../x", "_job": "1-1"}', "[" * 100_000):
        put_row(node, row)
    put_row(node, '{"name": "openverse", "_job": "../../x"}')
    put_row(node, '{"name": "openverse", "_job": "2-1", "settings": {"TELNETCONSOLE_HOST": "0.0.0.0"}}')
    put_row(node, f'{{"name": "openverse", "_job": "{GOOD}-7"}}')
    node.until(lambda: node.state(f"{GOOD}-7") == "running")
    assert node.log.count("was no job and is dropped") == 9
    assert node.get("daemonstatus.json").data["pending"] == 0


def test_the_poll_survives_a_locked_queue(scrapyd: Start) -> None:
    node = scrapyd()
    with locked(node.folder / "dbs" / "pixcrawler.db"):
        refused = node.schedule(f"{GOOD}-1")
        assert (refused.status, refused.data["status"]) == (503, "error")
        assert "locked" in refused.data["message"]
        node.until(lambda: "The queue could not be read and is asked again" in node.log)
        assert "locked" in str(node.get("health.json").data["problems"])
    put_row(node, f'{{"name": "openverse", "_job": "{GOOD}-2"}}')
    node.until(lambda: node.state(f"{GOOD}-2") == "running")
    assert node.state(f"{GOOD}-1") is None
    assert "Traceback" not in node.log


def test_an_end_that_cannot_be_booked_frees_the_slot_and_is_booked_later(scrapyd: Start) -> None:
    node = scrapyd(max_proc="1")
    with locked(node.folder / "dbs" / "jobs.db", "IMMEDIATE"):
        node.run(f"{QUICK}-1")
        node.until(lambda: f"The end of job {QUICK}-1 is booked later" in node.log)
        put_row(node, f'{{"name": "openverse", "_job": "{QUICK}-2"}}')
        node.until(lambda: node.hears(f"started {QUICK}-2"))
    node.run(f"{QUICK}-3")
    node.until(lambda: node.state(f"{QUICK}-3") == "finished")
    assert [job["id"] for job in node.get("listjobs.json").data["finished"]] == [f"{QUICK}-{n}" for n in (3, 2, 1)]


def test_a_waiting_job_starts_when_a_slot_comes_free_and_survives_a_restart(scrapyd: Start) -> None:
    node = scrapyd(max_proc="1", poll_interval="3600")
    node.run(f"{GOOD}-1")
    node.schedule(f"{GOOD}-2")
    node.schedule(f"{GOOD}-3")
    assert node.state(f"{GOOD}-2") == "pending"
    assert node.cancel(f"{GOOD}-1").data["prevstate"] == "running"
    node.until(lambda: node.state(f"{GOOD}-2") == "running")
    node.signal(signal.SIGTERM)
    node.process.wait()
    node.start()
    node.until(lambda: node.state(f"{GOOD}-3") == "running")
    assert [node.state(f"{GOOD}-{n}") for n in (1, 2)] == ["finished", "finished"]


@pytest.mark.parametrize("scenario", [PARENT, EMIGRANT])
def test_a_child_that_holds_the_output_open_holds_no_slot(scrapyd: Start, scenario: int) -> None:
    node = scrapyd(max_proc="1")
    node.run(f"{scenario}-1")
    child = node.until(lambda: node.hears("child "))
    node.until(lambda: node.state(f"{scenario}-1") == "finished")
    if scenario == PARENT:
        node.until(lambda: gone(child))
    node.run(f"{QUICK}-1")


# Ends


def test_int_is_for_the_crawl_and_kill_for_all_it_has_started(scrapyd: Start) -> None:
    node = scrapyd()
    crawl = node.run(f"{FAMILY}-1")
    child = node.until(lambda: node.hears("busy") is not None and node.hears("child "))
    for signal_name in ("INT", "TERM"):
        assert node.cancel(f"{FAMILY}-1", signal=signal_name).data["prevstate"] == "running"
    assert not gone(crawl)
    assert node.cancel(f"{FAMILY}-1", signal="KILL").data["prevstate"] == "running"
    node.until(lambda: gone(crawl) and gone(child))
    node.until(lambda: node.state(f"{FAMILY}-1") == "finished")
    assert node.cancel(f"{FAMILY}-1").data["prevstate"] is None


def test_a_waiting_job_is_taken_out(scrapyd: Start) -> None:
    node = scrapyd(max_proc="1")
    node.run(f"{GOOD}-1")
    node.schedule(f"{GOOD}-2")
    assert node.cancel(f"{GOOD}-2").data["prevstate"] == "pending"
    assert node.state(f"{GOOD}-2") is None
    assert node.get("daemonstatus.json").data["pending"] == 0


@linux_only
def test_nothing_outlives_a_killed_node(scrapyd: Start) -> None:
    node = scrapyd(max_proc="3")
    for job in (BUSY, GOOD, WORKERS):
        node.run(f"{job}-1")
    node.until(lambda: node.hears("busy") is not None and node.hears("worker "))
    assert len(node.family()) >= 6  # three crawls; a fork server, its tracker and workers
    node.signal(signal.SIGKILL)
    node.process.wait()
    node.until(lambda: not node.family())


def test_sigterm_lets_good_crawls_end_and_kills_the_others(scrapyd: Start) -> None:
    node = scrapyd(max_proc="3")
    node.run(f"{GOOD}-1")
    node.run(f"{FAMILY}-1")
    node.run(f"{WORKERS}-1")
    node.schedule(f"{GOOD}-2")
    node.until(lambda: node.hears("busy") is not None and node.hears("worker "))
    node.signal(signal.SIGTERM)
    assert node.process.wait() == -signal.SIGTERM
    assert "ended in order" in node.told
    assert "did not end when asked and is killed" in node.log
    assert node.hears(f"started {GOOD}-2 ") is None  # it waits for the next node
    node.until(lambda: not node.family())
    assert "Traceback" not in node.log


@linux_only
def test_a_second_signal_does_not_wait(scrapyd: Start) -> None:
    node = scrapyd()
    node.run(f"{GOOD}-1")
    node.run(f"{BUSY}-1")
    node.until(lambda: node.hears("busy") is not None)
    node.signal(signal.SIGTERM)
    node.until(lambda: "ended in order" in node.told)
    node.signal(signal.SIGINT)
    assert node.process.wait() == -signal.SIGINT
    assert "is killed" not in node.log  # that would have been in its own time
    node.until(lambda: not node.family())


@linux_only
def test_a_node_that_is_being_stopped_takes_no_job(scrapyd: Start) -> None:
    node = scrapyd()
    node.run(f"{BUSY}-1")
    node.until(lambda: node.hears("busy") is not None)
    connection = HTTPConnection("127.0.0.1", node.port, timeout=30)
    connection.request("GET", "/daemonstatus.json")
    assert Answer(connection).status == 200  # from now on it is open
    node.signal(signal.SIGTERM)
    node.until(lambda: "shutting down" in node.log)
    job = {"project": "pixcrawler", "spider": "openverse", "jobid": f"{GOOD}-1"}
    connection.request("POST", "/schedule.json", urlencode(job), {"Content-Type": "application/x-www-form-urlencoded"})
    refused = Answer(connection)
    connection.close()
    assert (refused.status, refused.data["message"]) == (503, "this node is being stopped")
    node.signal(signal.SIGTERM)
    node.process.wait()


# Bounds


@linux_only
def test_a_crawl_sees_only_the_variables_it_needs(scrapyd: Start) -> None:
    secrets = {"SCRAPYD_USERNAME": "joe", "SCRAPYD_PASSWORD": "sesame", "SCRAPYD_NODES": "http://joe:sesame@127.0.0.1"}
    foreign = {"AWS_SECRET_ACCESS_KEY": "sesame", "GITHUB_TOKEN": "sesame"}
    ours = {
        "DATABASE_URL": "postgresql://somewhere/x",
        "PIXCRAWLER_MIN_SIDE": "9",
        "PIXCRAWLER_BASE_URL_OPENVERSE": "http://127.0.0.1:9",
        "LC_ALL": "C.UTF-8",
    }
    node = scrapyd(**secrets, **foreign, **ours)
    node.auth = ("joe", "sesame")
    crawl = node.run(f"{GOOD}-1")
    environment = psutil.Process(crawl).environ()
    assert "sesame" not in str(environment)
    assert environment["SCRAPY_PROJECT"] == "pixcrawler"
    assert environment["SCRAPY_SETTINGS_MODULE"] == "pixcrawler.settings"
    assert {name: environment.get(name) for name in ours} == ours
    scrapyds = {"SCRAPY_PROJECT", "SCRAPY_SETTINGS_MODULE", "SCRAPYD_LAUNCHER"}
    assert environment.keys() - scrapyds <= ours.keys() | {"PATH", "HOME", "PYTHONPATH"}
    assert "sesame" not in node.log


def test_every_setting_but_the_passwords_of_nodes_reaches_a_crawl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRAPYD_NODES", "http://joe:sesame@127.0.0.1")
    monkeypatch.setenv("PIXCRAWLER_CONTACT", "me")
    monkeypatch.setenv("PIXCRAWLER_UNKNOWN", "x")
    seen = crawl_environment()
    assert seen["PIXCRAWLER_CONTACT"] == "me"
    assert not seen.keys() & {"SCRAPYD_NODES", "PIXCRAWLER_UNKNOWN"}


@linux_only
def test_a_crawl_has_limits_and_leads_its_group(scrapyd: Start) -> None:
    node = scrapyd()
    crawl = node.run(f"{GOOD}-1")
    limits = {
        line[:26].strip(): line[26:].split()[:2] for line in Path(f"/proc/{crawl}/limits").read_text().splitlines()
    }
    assert limits["Max core file size"] == ["0", "0"]
    assert limits["Max open files"] == ["1024", "1024"]
    assert limits["Max data size"] == [str(4 * 2**30)] * 2
    assert limits["Max file size"] == [str(2**30)] * 2
    assert os.getpgid(crawl) == crawl
    assert "NoNewPrivs:\t1" in Path(f"/proc/{crawl}/status").read_text()


def runner(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pixcrawler.scrapyd_node.runner", *arguments]
    env = {**os.environ, "SCRAPY_SETTINGS_MODULE": "pixcrawler.settings", **variables}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("arguments", [(), ("shell",), ("runspider", "x.py"), ("-h",)])
def test_the_runner_does_nothing_but_crawl_and_list(arguments: tuple[str, ...]) -> None:
    ended = runner(*arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "pixcrawler: nothing but crawl and list is run here\n"


def test_the_runner_lists() -> None:
    ended = runner("list")
    assert (ended.returncode, ended.stdout.split(), ended.stderr) == (0, list(source_names()), "")


@linux_only
def test_a_crawl_whose_node_died_meanwhile_does_nothing() -> None:
    ended = runner("list", SCRAPYD_LAUNCHER="1")
    assert (ended.returncode, ended.stdout) == (1, "")


@linux_only
def test_a_limit_that_is_lower_already_stays() -> None:
    code = (
        "import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (300, 500)); from pixcrawler.scrapyd_node import runner\n"
    )
    code += "runner.confine(); print(r.getrlimit(r.RLIMIT_NOFILE))"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.stdout == "(500, 500)\n"


def test_a_crawl_listens_on_nothing(tmp_path: Path) -> None:
    with web() as source:
        paths = source.photos(4)
        source.results["otter"] = [*paths, "/hang.jpg"]
        source.put("/hang.jpg", fault="hang")
        variables = {"PIXCRAWLER_ALLOW_HOSTS": "127.0.0.1", "PIXCRAWLER_DATA_DIR": str(tmp_path)}
        given = ("keywords=otter", "max_images=9", f"base_url={source.address}")
        command = [sys.executable, "-m", "pixcrawler.scrapyd_node.runner", "crawl", "openverse"]
        command += [word for argument in given for word in ("-a", argument)]
        env = {**os.environ, "SCRAPY_SETTINGS_MODULE": "pixcrawler.settings", **variables}
        with subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.PIPE) as process:
            crawl = psutil.Process(process.pid)
            while not source.hits["/hang.jpg"]:
                assert process.poll() is None, process.stderr.read()
                time.sleep(0.05)
            family = [crawl, *crawl.children(recursive=True)]
            assert len(family) > 2  # its workers are there
            states = {connection.status for member in family for connection in member.net_connections("inet")}
            process.kill()
    assert states == {psutil.CONN_ESTABLISHED}
