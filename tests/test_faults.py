"""Nothing unless it is asked for; then death where it was asked for, and a clear word about what is no point."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pixcrawler import faults

PACKAGE = Path(faults.__file__).parent
ARM_AND_REACH = "from pixcrawler import faults; faults.arm(); faults.reach('{}'); print(faults.refusal())"


def reached(point: str, fault: str) -> subprocess.CompletedProcess[str]:
    environment = {"PIXCRAWLER_FAULT": fault} if fault else {}
    command = [sys.executable, "-c", ARM_AND_REACH.format(point)]
    return subprocess.run(command, env=environment, cwd=PACKAGE.parent, capture_output=True, text=True)


def test_nothing_unless_asked_for() -> None:
    ended = reached("crawl.opened", "")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "None\n", "")


def test_death_where_it_was_asked_for() -> None:
    ended = reached("crawl.opened", "crawl.opened:1,crawl.paged:0")
    assert ended.returncode == -signal.SIGKILL
    assert ended.stderr.endswith("fault crawl.opened\n")
    assert reached("crawl.paged", "crawl.opened:1,crawl.paged:0").returncode == 0


def test_a_refusal_is_the_database_s() -> None:
    assert reached("crawl.opened", "database.deadlock:1").stdout == "40P01\n"


@pytest.mark.parametrize("fault", ["nosuch:1", "crawl.opened", "crawl.opened:often"])
@pytest.mark.parametrize("command", [["pixcrawler.cli", "dispatcher"], ["scrapy", "crawl", "openverse"]])
def test_a_wrong_point_is_told_in_one_line(fault: str, command: list[str], tmp_path: Path) -> None:
    environment = {"PIXCRAWLER_FAULT": fault, "PIXCRAWLER_DATA_DIR": str(tmp_path), "DATABASE_URL": "postgresql://x/y"}
    arguments = ["-a", "keywords=cat"] if "scrapy" in command else []
    ended = subprocess.run(
        [sys.executable, "-m", *command, *arguments],
        env=environment,
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 2
    assert "pixcrawler: PIXCRAWLER_FAULT: " in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def test_every_point_is_somewhere() -> None:
    code = "\n".join(path.read_text() for path in PACKAGE.rglob("*.py") if path != Path(faults.__file__))
    assert not [point for point in faults.POINTS if f'"{point}"' not in code]
