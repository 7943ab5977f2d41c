"""How long our statements take when many jobs are at work at once, as each process measures it itself.

So many jobs on one node, on a fresh PostgreSQL: the statements of the dispatcher, the exporter and all crawl processes,
those of the slowest process last. Linux: `.venv/bin/python benchmarks/statements.py`.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import psycopg

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from loopback import web  # noqa: E402  # the tests' own
from machines import Machine  # noqa: E402

from pixcrawler.db import schema  # noqa: E402
from pixcrawler.db.embedded import EmbeddedServer  # noqa: E402

SAID = re.compile(r"database: ([\d,]+) statements, 95 % within (\d+) ms")


def sql_on(url: str) -> Callable[..., list[tuple[Any, ...]]]:
    def run(query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(query, parameters)
            return cursor.fetchall() if cursor.description else []

    return run


def said(logs: Iterable[Path]) -> list[tuple[int, int]]:
    """Statements and milliseconds of every process that has said so, from their logs."""
    texts = [path.read_text(errors="replace") for path in logs]
    found = [pair for text in texts for pair in SAID.findall(text)]
    return [(int(number.replace(",", "")), int(milliseconds)) for number, milliseconds in found]


def show(who: str, figures: list[tuple[int, int]]) -> None:
    number, times = sum(n for n, _ in figures), sorted(ms for _, ms in figures)
    print(f"{who:12}{len(figures):>10}{number:>12,}{median(times):>14.0f}{times[-1]:>14}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=12)
    parser.add_argument("--slots", type=int, default=12, help="crawl processes at once")
    parser.add_argument("--images", type=int, default=100)
    asked = parser.parse_args()
    with TemporaryDirectory(prefix="pixcrawler-benchmark-") as name, web() as source:
        folder = Path(name)
        with EmbeddedServer(folder / "server") as url:
            schema.initialise(url)
            machine = Machine(folder / "machine", url, source, sql_on(url), {})
            machine.folder.mkdir()
            source.latency = 0.05
            try:
                machine.node(slots=asked.slots)
                machine.dispatcher()
                machine.exporter()
                for _ in range(asked.jobs):
                    machine.job(asked.images, bad=5)
                machine.until(lambda: not machine.unfinished(), 600)
                machine.stop()
            finally:
                machine.clear()
            print(f"{'':12}{'processes':>10}{'statements':>12}{'median p95 ms':>14}{'worst p95 ms':>14}")
            show("services", said(machine.folder.glob("*.log")))
            show("crawls", said((machine.folder / "logs").rglob("*.log")))


if __name__ == "__main__":
    main()
