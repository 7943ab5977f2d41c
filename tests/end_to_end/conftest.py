"""The whole system: `pixcrawler up` as a process, on the test's database, with sources on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from disks import small_disk
from loopback import Web, web

from pixcrawler.services import free_port

PATIENCE = 90  # seconds; a stuck job fails the test instead of the suite


class System:
    """`pixcrawler up` and what a test asks of it."""

    def __init__(self, url: str, folder: Path, source: str, sql: Callable[..., list[tuple[Any, ...]]]) -> None:
        self.folder = folder
        self.sql = sql
        self.node = f"http://127.0.0.1:{free_port()}"
        self.env = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "DATABASE_URL": url,
            "PIXCRAWLER_DEFAULT_SOURCES": "openverse",  # no other has a loopback server
            "PIXCRAWLER_DATA_DIR": str(folder),
            "PIXCRAWLER_BASE_URL_OPENVERSE": source,
            "PIXCRAWLER_ALLOW_HOSTS": "127.0.0.1",
            "SCRAPYD_NODES": f"{self.node}#2",
            "PORT": str(free_port()),
            # A fifth of the real ones: what dies is noticed soon.
            "PIXCRAWLER_HEARTBEAT_SECONDS": "2",
            "PIXCRAWLER_LEASE_SECONDS": "9",
            "PIXCRAWLER_FENCE_SECONDS": "6",
            "PIXCRAWLER_RETRY_SECONDS": "0.5",
            "PIXCRAWLER_POLL_SECONDS": "0.2",
            "PIXCRAWLER_SWEEP_SECONDS": "0.001",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def up(self) -> None:
        """Starts everything, in a session of its own."""
        command = [sys.executable, "-m", "pixcrawler.cli", "up"]
        with (self.folder / "up.log").open("ab") as log:
            self.process = subprocess.Popen(command, env=self.env, stdout=log, stderr=log, start_new_session=True)

    def down(self) -> list[psutil.Process]:
        """Stops everything as Ctrl-C does. Returns what is left of it."""
        assert self.process is not None
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)
        _, alive = psutil.wait_procs(family, timeout=2)
        for process in alive:
            process.kill()
        return alive

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pixcrawler.cli", *arguments]
        return subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=60)

    def insert(self, keywords: list[str], max_images: int) -> int:
        """A row as the front end writes it."""
        row = (json.dumps(keywords), max_images)
        statement = (
            "INSERT INTO public.crawl_jobs (project_id, name, keywords, max_images)"
            " SELECT min(id), 'pets', %s, %s FROM public.projects RETURNING id"
        )
        return int(self.sql(statement, row)[0][0])

    def until(self, what: Callable[[], Any]) -> Any:
        """Waits for something true."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if result := what():
                return result
            time.sleep(0.05)
        jobs = self.sql("SELECT id, state, kept, outcome, reason FROM crawler.jobs")
        attempts = self.sql("SELECT run, attempt, state, reason FROM crawler.attempts")
        raise AssertionError(f"it did not happen: {jobs} {attempts} {(self.folder / 'up.log').read_text()[-2000:]}")

    def status(self, job: int) -> str:
        return str(self.sql("SELECT status FROM public.crawl_jobs WHERE id = %s", (job,))[0][0])

    def ended(self, job: int) -> str:
        """Waits for the end of a job; its status."""
        return str(self.until(lambda: (s := self.status(job)) not in ("pending", "running") and s))

    def crawls(self) -> list[psutil.Process]:
        """The crawl processes that live, without their workers."""
        assert self.process is not None
        family = psutil.Process(self.process.pid).children(recursive=True)
        return [
            process for process in family if "scrapyd_node.runner" in _command(process) and "crawl" in _command(process)
        ]

    def part(self, name: str) -> psutil.Process:
        """The process of a part, such as "dispatcher"."""
        assert self.process is not None
        return next(p for p in psutil.Process(self.process.pid).children() if name in _command(p).split())


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


@pytest.fixture
def source() -> Iterator[Web]:
    with web() as running:
        yield running


@pytest.fixture
def small_storage(tmp_path: Path) -> Iterator[Path]:
    """Storage on a disk of 2 MB; to be asked for before `system`."""
    with small_disk(tmp_path / "storage") as disk:
        yield disk


@pytest.fixture
def variables() -> dict[str, str]:
    """More for the environment of `system`: for a file of tests to say."""
    return {}


@pytest.fixture
def system(
    database_url: str,
    tmp_path: Path,
    source: Web,
    sql: Callable[..., list[tuple[Any, ...]]],
    variables: dict[str, str],
) -> Iterator[System]:
    system = System(database_url, tmp_path, source.address, sql)
    system.env |= variables
    system.up()
    yield system
    assert system.down() == []
