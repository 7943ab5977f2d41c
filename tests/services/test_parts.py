import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from pixcrawler.config import config
from pixcrawler.errors import UsageError
from pixcrawler.services import free_port, local_parts

ROOT = Path(__file__).parents[2]
Up = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "100% mine"


@pytest.fixture
def up(database_url: str, data_dir: Path) -> Iterator[Up]:
    """`up(SCRAPYD_NODES=…)`: everything, as a process whose first line says that it runs."""
    started = []

    def run(**variables: str) -> subprocess.Popen[str]:
        ours = {"DATABASE_URL": database_url, "PIXCRAWLER_DATA_DIR": str(data_dir), "PYTHONPATH": str(ROOT)}
        ours["PORT"] = str(free_port())
        command = [sys.executable, "-m", "pixcrawler.cli", "up"]
        env = {**os.environ, **ours, **variables}
        started.append(subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield run
    for process in started:
        with process:
            process.terminate()


def ask(port: int, path: str) -> Any:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return json.loads(response.read()) if response.status == 200 else response.status
    finally:
        connection.close()


def parts_of(process: subprocess.Popen[str]) -> dict[str, psutil.Process]:
    commands = {child: child.cmdline() for child in psutil.Process(process.pid).children()}
    alive = {child: words for child, words in commands.items() if words}  # none of one that has ended
    return {words[3 if "cli" in words[2] else 2]: child for child, words in alive.items()}


def test_up_serves_and_stops_without_a_trace(up: Up, data_dir: Path) -> None:
    port, api_port = free_port(), free_port()
    process = up(SCRAPYD_NODES=f"http://127.0.0.1:{port}#3", PORT=str(api_port))
    said = process.stdout.readline()
    assert f"http://127.0.0.1:{port}" in said
    assert f"http://127.0.0.1:{api_port}" in said
    parts = parts_of(process)
    assert sorted(parts) == ["api", "dispatcher", "exporter", "scrapyd"]
    assert ask(api_port, "/api/v1/health/") == {"status": "ok"}
    assert ask(port, "/daemonstatus.json")["status"] == "ok"
    assert ask(port, "/health.json")["problems"] == []
    process.send_signal(signal.SIGINT)
    assert (process.wait(), process.stderr.read()) == (0, "")
    assert not any(part.is_running() for part in parts.values())
    assert sorted(log.name for log in (data_dir / "logs").glob("*.log")) == [
        "api.log",
        "dispatcher.log",
        "exporter.log",
        "scrapyd.log",
    ]


def test_up_restarts_a_killed_dispatcher(up: Up) -> None:
    process = up(SCRAPYD_NODES=f"http://127.0.0.1:{free_port()}")
    process.stdout.readline()
    killed = parts_of(process)["dispatcher"]
    killed.kill()
    line = process.stderr.readline()
    assert "dispatcher ended with status -9 and starts again in 0.5 s" in line
    while (again := parts_of(process).get("dispatcher")) in (None, killed):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 0
    assert not again.is_running()


def test_secrets_are_asked_for_and_on_no_command_line(up: Up, database_url: str) -> None:
    port = free_port()
    with_password = database_url.replace("postgres@", "postgres:open-door@")
    process = up(SCRAPYD_NODES=f"http://joe:sesame@127.0.0.1:{port}#1", DATABASE_URL=with_password)
    said = process.stdout.readline()
    assert ask(port, "/daemonstatus.json") == 401
    commands = [word for part in parts_of(process).values() for word in part.cmdline()]
    assert not any(secret in word for secret in ("sesame", "open-door") for word in [*commands, said])


def test_a_taken_port_is_one_line(up: Up) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = up(SCRAPYD_NODES=f"http://127.0.0.1:{port}")
        assert process.wait() == 2
        other = up(SCRAPYD_NODES=f"http://127.0.0.1:{free_port()}", PORT=str(port))
        assert other.wait() == 2
    assert process.stderr.read() == (
        f"pixcrawler: port {port} is taken: end what uses it, or name another one in SCRAPYD_NODES\n"
    )
    assert other.stderr.read() == f"pixcrawler: PORT={port} is taken: end what uses it, or name another one\n"


def test_a_database_that_lacks_a_column_is_one_line(up: Up, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE public.crawl_jobs DROP COLUMN progress")
    process = up(SCRAPYD_NODES=f"http://127.0.0.1:{free_port()}")
    assert process.wait() == 2
    said = process.stderr.read()
    assert "progress" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("node", ["http://crawl.example:6800", "https://127.0.0.1:6800"])
def test_the_first_node_must_be_here(settings_env: Any, data_dir: Path, node: str) -> None:
    settings_env(SCRAPYD_NODES=f"{node}#2", PIXCRAWLER_DATA_DIR=str(data_dir))
    with pytest.raises(UsageError, match="on this machine"):
        local_parts(config(), "postgresql://nowhere", {})


def test_the_node_has_the_projects_settings_and_its_own_folders(settings_env: Any, data_dir: Path) -> None:
    port = free_port()
    folder = {"PIXCRAWLER_DATA_DIR": str(data_dir), "PORT": str(free_port())}
    settings_env(SCRAPYD_NODES=f"http://127.0.0.1:{port}#5", **folder)
    (scrapyd,), _ = local_parts(config(), "postgresql://nowhere", {"PIXCRAWLER_MIN_SIDE": "9"})
    written, project = ConfigParser(interpolation=None), ConfigParser(interpolation=None)
    written.read(scrapyd.cwd / "scrapyd.conf")
    project.read(ROOT / "scrapyd.conf")
    own = {"http_port": str(port), "max_proc": "5", "dbs_dir": "dbs", "logs_dir": "../logs/crawl"}
    assert dict(written["scrapyd"]) == {**project["scrapyd"], **own}
    assert written["settings"] == project["settings"]
    assert scrapyd.env["PIXCRAWLER_MIN_SIDE"] == "9"
