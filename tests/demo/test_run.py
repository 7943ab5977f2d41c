import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).parents[2]


class Terminal:
    """`pixcrawler demo` in the foreground of a terminal of its own."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.screen, terminal = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", CONTROLLING, *COMMAND],
            env=environment(data_dir) | {"TERM": "xterm"},
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        )
        os.close(terminal)
        self.drawn = ""

    def read_until(self, word: str) -> None:
        while word not in self.drawn:
            self.drawn += os.read(self.screen, 1 << 16).decode(errors="replace")

    def press_ctrl_c(self) -> None:
        os.write(self.screen, b"\x03")

    def ended(self) -> int:
        while True:  # a terminal nobody reads stops its writers
            try:
                self.drawn += os.read(self.screen, 1 << 16).decode(errors="replace")
            except OSError:  # the last writer has left
                return self.process.wait()


COMMAND = [sys.executable, "-m", "pixcrawler.cli", "demo"]
# Makes standard input the terminal whose Ctrl-C reaches this process and whoever shares its group.
CONTROLLING = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def environment(data_dir: Path) -> dict[str, str]:
    return {**os.environ, "PIXCRAWLER_DATA_DIR": str(data_dir), "PYTHONPATH": str(ROOT)}


def left_behind(data_dir: Path) -> list[str]:
    """Command lines of processes that work in or for this folder."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), *process.environ().values()]
        except psutil.Error:
            continue
        if any(str(data_dir) in word for word in words) and process.pid != os.getpid():
            found.append(" ".join(process.cmdline()))
    return found


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[[], Terminal]]:
    opened = []

    def open_() -> Terminal:
        opened.append(Terminal(tmp_path / "data"))
        return opened[-1]

    yield open_
    for one in opened:
        with one.process:
            one.process.kill()
        os.close(one.screen)


def shown_funnel(out: str) -> dict[str, int]:
    rows = (line.split() for line in out.partition("Every image found")[2].splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}


@pytest.mark.timeout(600)  # a whole job, and a second one; twenty seconds each on an idle machine
def test_demo_makes_a_dataset_after_an_interrupted_one(terminal: Any, tmp_path: Path) -> None:
    interrupted = terminal()
    interrupted.read_until("crawling")
    interrupted.press_ctrl_c()
    assert interrupted.ended() == 130
    assert "Traceback" not in interrupted.drawn
    assert left_behind(tmp_path) == []

    data_dir = tmp_path / "data"
    again = subprocess.run(COMMAND, env=environment(data_dir), capture_output=True, text=True, check=False)
    assert (again.returncode, again.stderr) == (0, "")
    assert left_behind(tmp_path) == []
    funnel = shown_funnel(again.stdout)
    assert funnel["kept"] == 120
    assert funnel["found"] == sum(number for name, number in funnel.items() if name != "found")
    assert {"damaged", "near_duplicate", "duplicate_bytes", "too_small", "bomb", "http_error"} <= funnel.keys()
    archive = next((data_dir / "demo").glob("dataset-*/dataset.zip"))
    assert str(archive) in again.stdout
    with zipfile.ZipFile(archive) as dataset:
        lines = [name for name in dataset.namelist() if name.endswith("metadata.jsonl")]
        assert len(dataset.read(lines[0]).splitlines()) == 120
        assert all(json.loads(line)["license"] for line in dataset.read(lines[0]).splitlines())
    sheet = archive.with_name("dataset") / "index.html"
    assert str(sheet) in again.stdout
    pictures = re.findall(r'<img src="([^"]+)"', sheet.read_text(encoding="utf-8"))
    assert len([name for name in pictures if (sheet.parent / name).is_file()]) == 120


@pytest.mark.parametrize("signals", [[signal.SIGTERM], [signal.SIGINT, signal.SIGINT]])
def test_demo_leaves_nothing_running(terminal: Any, tmp_path: Path, signals: list[int]) -> None:
    demo = terminal()
    demo.read_until("crawling")
    for number in signals:
        demo.process.send_signal(number)
        time.sleep(0.2)  # two signals of one kind at once are one
    assert demo.ended() == 130
    assert left_behind(tmp_path) == []


def test_demo_stopped_while_it_starts_leaves_nothing(terminal: Any, tmp_path: Path) -> None:
    demo = terminal()
    demo.read_until("Starting")
    demo.press_ctrl_c()
    assert demo.ended() == 130
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("names", ["flikr", "met,urls"], ids=["misspelt", "it needs a list"])
def test_a_source_the_demo_has_not_is_told_before_anything_starts(tmp_path: Path, names: str) -> None:
    command = [*COMMAND, "--sources", names]
    ended = subprocess.run(command, env=environment(tmp_path / "data"), capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(
        f"pixcrawler: --sources: the demo has no {names.rpartition(',')[2]!r}; it has artic,"
    )
    assert ended.stderr.count("\n") == 1
    assert not (tmp_path / "data").exists()
