"""A real Scrapyd node with our scrapyd.conf in a folder of its own; its crawls are played unless a test says no."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable
from configparser import ConfigParser
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psutil

from pixcrawler.services import free_port

ROOT = Path(__file__).parents[2]
PATIENCE = 30  # seconds; a stuck node fails the test instead of the suite


class Answer:
    """Status, headers and body of an answer."""

    def __init__(self, connection: HTTPConnection) -> None:
        response = connection.getresponse()
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.text = response.read().decode()

    @property
    def data(self) -> Any:
        return json.loads(self.text)


class Node:
    """A Scrapyd node, and what a test asks of it."""

    def __init__(self, folder: Path, options: dict[str, str], variables: dict[str, str]) -> None:
        self.folder = folder
        self.port = free_port()
        self.auth: tuple[str, str] | None = None
        self.address = options.get("bind_address") or "127.0.0.1"
        conf = ConfigParser(interpolation=None)
        conf.read(ROOT / "scrapyd.conf")
        ours = {"http_port": str(self.port), "runner": "played_runner", "poll_interval": "0.2", "node_name": "here"}
        conf.read_dict({"scrapyd": {**ours, "logs_dir": "logs", "dbs_dir": "dbs", **options}})
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "scrapyd.conf").open("w") as file:
            conf.write(file)
        self.env = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}",
            **variables,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers."""
        self.launch()
        self.until(self._answers)

    def launch(self) -> None:
        """Starts the process."""
        command = [sys.executable, "-m", "scrapyd", "--pidfile="]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, env=self.env, cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log
        try:
            return self.get("daemonstatus.json").status in (200, 401)
        except ConnectionRefusedError:
            return False

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def told(self) -> list[str]:
        """What the played crawls have told."""
        file = self.folder / "told"
        return file.read_text().splitlines() if file.exists() else []

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        connection = HTTPConnection(self.address, self.port, timeout=PATIENCE)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.auth:
            given["Authorization"] = f"Basic {b64encode(':'.join(self.auth).encode()).decode()}"
        if method == "POST":
            given.setdefault("Content-Type", "application/x-www-form-urlencoded")
        try:
            connection.request(method, f"/{path}", body or None, given)
            return Answer(connection)
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def post(self, path: str, values: Any, **headers: str) -> Answer:
        return self.ask("POST", path, urlencode(values).encode(), **headers)

    def schedule(self, job: str, **more: str) -> Answer:
        return self.post("schedule.json", {"project": "pixcrawler", "spider": "openverse", "jobid": job, **more})

    def cancel(self, job: str, **more: str) -> Answer:
        return self.post("cancel.json", {"project": "pixcrawler", "job": job, **more})

    def state(self, job: str) -> str | None:
        state: str | None = self.get(f"status.json?job={job}").data["currstate"]
        return state

    def run(self, job: str) -> int:
        """Schedules a played crawl and waits until it plays. Returns its process id."""
        answer = self.schedule(job)
        assert answer.status == 200, answer.text
        return int(self.until(lambda: self.hears(f"started {job} ")))

    def hears(self, what: str) -> str | None:
        """The rest of the last line that begins so."""
        return next((line.removeprefix(what) for line in reversed(self.told) if line.startswith(what)), None)

    def until(self, what: Callable[[], Any]) -> Any:
        """Waits for something true."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if result := what():
                return result
            time.sleep(0.02)
        raise AssertionError(f"it did not happen; told: {self.told}; the log:\n{self.log[-3000:]}")

    def family(self) -> list[psutil.Process]:
        """What the node has started and is alive, in whatever groups."""
        assert self.process is not None
        return [p for p in psutil.process_iter() if p.pid != self.process.pid and _session(p.pid) == self.process.pid]

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def end(self) -> None:
        """Kills the node and whatever is left of it."""
        if self.process is None:
            return
        with self.process:
            self.process.kill()
        for process in self.family():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        with suppress(psutil.NoSuchProcess):
            if child := self.hears("child "):  # in a session of its own, perhaps
                psutil.Process(int(child)).kill()


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid) if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE else None
    except (OSError, psutil.NoSuchProcess):
        return None


Start = Callable[..., Node]
