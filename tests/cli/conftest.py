import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pixcrawler.cli import main

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ROOT = Path(__file__).parents[2]


class Result(NamedTuple):
    status: int
    out: str
    err: str


Cli = Callable[..., Result]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def cli(
    database_url: str, data_dir: Path, settings_env: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> Iterator[Cli]:
    """`cli("jobs", "list")` on a fresh database → status, out, err."""
    settings_env(DATABASE_URL=database_url, PIXCRAWLER_DATA_DIR=str(data_dir))
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["pixcrawler", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        return Result(int(left.value.code or 0), *capsys.readouterr())

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def start(database_url: str, data_dir: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`start("jobs", "watch", 7)` → the command as a process of its own."""
    started = []

    def run(*arguments: object, **variables: str) -> subprocess.Popen[str]:
        ours = {"DATABASE_URL": database_url, "PIXCRAWLER_DATA_DIR": str(data_dir), "PYTHONPATH": str(ROOT)}
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "pixcrawler.cli", *map(str, arguments)],
                env={**os.environ, **ours, **variables},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield run
    for process in started:
        with process:
            process.kill()


@pytest.fixture
def wait_for() -> Callable[[Callable[[], object]], None]:
    """`wait_for(condition)`: until it is true."""

    def wait(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    return wait
