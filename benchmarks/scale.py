"""What a crawl costs as it grows: images a second, memory, and the database, over a list of so many addresses.

One run of a job reads the list and fetches from nginx on 64 loopback addresses. One address in fifty has a new picture,
the others repeat earlier ones: each is met, fetched, inspected, compared and booked. Figures are taken while the run
goes on, in ten parts. Needs nginx and Linux: `.venv/bin/python benchmarks/scale.py 10000 100000 1000000`; the figures
also go to `--json FILE`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import psycopg
from booked import book
from pictures import picture
from serving import addresses, free_port, nginx
from throughput import HOSTS, machine

from pixcrawler.db import schema
from pixcrawler.db.embedded import EmbeddedServer

ROOT = Path(__file__).parents[1]
PARTS = 10
NEW = 50  # one address in so many; fewer than one in a hundred kept would end the run as barren
SIZE = (320, 240)  # pixels; what is measured is what grows, not the decoder
RULES = r"rewrite ^/again/\d+/(\d+)\.jpg$ /images/$1.jpg break;"
LOOK = 0.5  # seconds
DECIDED = "SELECT coalesce(sum(decided), 0) FROM crawler.attempts WHERE run = %s"
DATABASE_SIZE = "SELECT pg_database_size(current_database())"
OPEN = "SELECT job FROM crawler.candidates WHERE run = %s AND decision IS NULL ORDER BY seq LIMIT 1"


@dataclass(frozen=True)
class Look:
    """How far a run is. Of the process and the database; `statement_ms` is a look-up among the run's candidates."""

    addresses: int
    decided: int
    seconds: float
    memory_mb: float
    cpu_seconds: float
    database_mb: float
    statement_ms: float


def look(database: psycopg.Connection[Any], process: psutil.Process, run: str, total: int, began: float) -> Look:
    """How far it is now."""
    decided = int(_one(database, DECIDED, run))
    asked = time.perf_counter()
    database.execute(OPEN, (run,)).fetchall()
    statement_ms = 1000 * (time.perf_counter() - asked)
    times = process.cpu_times()
    return Look(
        addresses=total,
        decided=decided,
        seconds=time.monotonic() - began,
        memory_mb=process.memory_info().rss / 2**20,
        cpu_seconds=times.user + times.system,
        database_mb=int(_one(database, DATABASE_SIZE)) / 2**20,
        statement_ms=statement_ms,
    )


def _one(database: psycopg.Connection[Any], query: str, *parameters: object) -> Any:
    row = database.execute(query, parameters).fetchone()
    assert row is not None
    return row[0]


def measured(folder: Path, url: str, hosts: list[str], port: int, total: int) -> Iterator[Look]:
    """One run over `total` addresses, looked at whenever another tenth of them is decided."""
    list_file = folder / f"{total}.txt"
    with list_file.open("w") as lines:
        lines.writelines(f"http://{hosts[n % HOSTS]}:{port}/{_path(n)}\n" for n in range(total))
    data = folder / f"data-{total}"
    (attempt,) = book(url, data, list_file, ["all"], total)
    environment = {"DATABASE_URL": url, "PIXCRAWLER_DATA_DIR": str(data), "PIXCRAWLER_ALLOW_HOSTS": "127.0.0.0/8"}
    command = [sys.executable, "-m", "scrapy", "crawl", "urls", "-a", f"_job={attempt}"]
    log = (folder / f"{total}.log").open("wb")
    began = time.monotonic()
    with psycopg.connect(url, autocommit=True) as database, log:
        crawl = subprocess.Popen(command, cwd=ROOT, env=os.environ | environment, stdout=log, stderr=log)
        process, run, part = psutil.Process(crawl.pid), attempt.partition("-")[0], 0
        while crawl.poll() is None:
            time.sleep(LOOK)
            if int(_one(database, DECIDED, run)) * PARTS > part * total and crawl.poll() is None:
                seen = look(database, process, run, total, began)
                part = seen.decided * PARTS // total + 1
                yield seen
    if crawl.returncode:
        sys.exit(f"the crawl failed:\n{(folder / f'{total}.log').read_text()[-2000:]}")


def _path(number: int) -> str:
    """Of the picture at an address: a new one, or one of those before it."""
    new, again = divmod(number, NEW)
    return f"again/{number}/{number * 7919 % (new + 1):06d}.jpg" if again else f"images/{new:06d}.jpg"


def show(looks: Iterator[Look]) -> list[Look]:
    """Prints each look as it comes; rates and CPU are since the one before."""
    names = ("addresses", "decided", "a second", "CPU ms", "memory MB", "database MB", "look-up ms")
    print("".join(f"{name:>13}" for name in names))
    before: Look | None = None
    seen = []
    for now in looks:
        if before is None or before.addresses != now.addresses:
            before = Look(now.addresses, 0, 0, 0, 0, 0, 0)
        number = max(1, now.decided - before.decided)
        rate, cpu = number / (now.seconds - before.seconds), 1000 * (now.cpu_seconds - before.cpu_seconds) / number
        counts = f"{now.addresses:>13,}{now.decided:>13,}{rate:>13.0f}{cpu:>13.2f}"
        print(f"{counts}{now.memory_mb:>13.0f}{now.database_mb:>13.0f}{now.statement_ms:>13.1f}", flush=True)
        before = now
        seen.append(now)
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("addresses", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    hosts, port = addresses(HOSTS), free_port()
    with TemporaryDirectory(prefix="pixcrawler-benchmark-") as name, EmbeddedServer(Path(name)) as url:
        folder = Path(name)
        schema.initialise(url)
        images = folder / "www" / "images"
        images.mkdir(parents=True)
        for number in range(max(asked.addresses) // NEW + 1):
            (images / f"{number:06d}.jpg").write_bytes(picture(number, "jpeg", SIZE))
        with nginx(folder, hosts, port, RULES):
            looks = show(look for total in asked.addresses for look in measured(folder, url, hosts, port, total))
    print(f"\n{machine()}")
    if asked.json:
        about_all = {"machine": machine(), "looks": [asdict(one) for one in looks]}
        asked.json.write_text(json.dumps(about_all, indent=2) + "\n")


if __name__ == "__main__":
    main()
