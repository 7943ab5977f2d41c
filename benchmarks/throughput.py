"""How many images a second, and how much CPU for each: runs of a job beside the tools of others.

All fetch the same pictures from nginx on 64 loopback addresses, by turns, each time into an empty folder; start-up and
end are part of the time, and CPU is that of the whole process tree. Ours does all it ever does: firewall, opt-outs,
inspection in confined workers, validation, duplicates, rows in PostgreSQL, files that the disk has. Needs nginx and
Linux: `.venv/bin/python benchmarks/throughput.py`; the figures also go to `--json FILE`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from booked import book
from pictures import write
from rivals import rivals
from serving import addresses, free_port, nginx

from pixcrawler.db import schema
from pixcrawler.db.embedded import EmbeddedServer

HERE = Path(__file__).parent
HOSTS = 64
ENDINGS = frozenset({".jpg", ".png", ".webp"})
OURS = {1: "PixCrawler, 1 run", 2: "PixCrawler, 2 runs"}


@dataclass(frozen=True)
class Result:
    """One crawl."""

    set: str
    who: str
    images: int
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        return self.images / self.seconds

    @property
    def cpu_ms(self) -> float:
        return 1000 * self.cpu_seconds / self.images


@dataclass(frozen=True)
class Contender:
    """Who is measured: `prepared` returns the commands that run side by side, in time that does not count."""

    name: str
    prepared: Callable[[Path], list[list[str]]]  # for an empty folder
    environment: Callable[[Path], dict[str, str]] = lambda _: {}


def measured(about: str, who: Contender, out: Path) -> Result:
    """Runs a crawl to its end and counts what it stored in `out`, an empty folder."""
    out.mkdir()
    commands = who.prepared(out)
    words = [word for command in commands for word in ("--", *command)]
    log_file = out.with_suffix(".log")
    with log_file.open("wb") as log:
        ended = subprocess.run(
            [sys.executable, HERE / "reaper.py", *words],
            cwd=HERE.parent,
            env=os.environ | {"NO_ALBUMENTATIONS_UPDATE": "1"} | who.environment(out),
            stdout=subprocess.PIPE,
            stderr=log,
        )
    used = json.loads(ended.stdout)
    images = sum(path.suffix in ENDINGS for path in out.rglob("*"))
    if used["status"] or not images:
        sys.exit(f"{who.name} failed:\n{log_file.read_text(errors='replace')[-2000:]}")
    return Result(about, who.name, images, used["seconds"], used["cpu_seconds"])


def ours(url: str, urls: list[str], runs: int) -> Contender:
    """The runs of one job, each with its own part of the list."""

    def prepared(out: Path) -> list[list[str]]:
        keywords = [f"part {number}" for number in range(runs)]
        rows = [f"{address},{keywords[number % runs]}\n" for number, address in enumerate(urls)]
        list_file = out.with_name("ours.csv")
        list_file.write_text("url,keyword\n" + "".join(rows))
        attempts = book(url, out, list_file, keywords, len(urls))
        crawl = [sys.executable, "-m", "scrapy", "crawl", "urls"]
        return [[*crawl, "-a", f"_job={attempt}"] for attempt in attempts]

    def environment(out: Path) -> dict[str, str]:
        return {"DATABASE_URL": url, "PIXCRAWLER_DATA_DIR": str(out), "PIXCRAWLER_ALLOW_HOSTS": "127.0.0.0/8"}

    return Contender(OURS[runs], prepared, environment)


def compare(folder: Path, url: str, about: str, images: int, rounds: int, *, alone: bool) -> list[Result]:
    """So many rounds on one set of pictures, every contender once in each."""
    hosts, port = addresses(HOSTS), free_port()
    files = write(folder / "www" / "images", images, mixed=about == "mixed")
    urls = [f"http://{hosts[n % HOSTS]}:{port}/images/{file.name}" for n, file in enumerate(files)]
    list_file = folder / "list.txt"
    list_file.write_text("".join(f"{address}\n" for address in urls))
    contenders = [ours(url, urls, runs) for runs in OURS]
    for rival in [] if alone else rivals():
        fetch = partial(rival.command, list_file, images)
        contenders.append(Contender(rival.name, lambda out, fetch=fetch: [fetch(out)]))
    with nginx(folder, hosts, port):
        # Nothing is deleted between the crawls: for minutes ext4 would look past the freed inodes for every new file.
        crawls = [who for _ in range(rounds) for who in contenders]
        return [measured(about, who, folder / f"out-{number}") for number, who in enumerate(crawls)]


def show(results: list[Result]) -> None:
    """A table for each set of pictures; the ratio is to our one run, of images a second."""
    for about in dict.fromkeys(result.set for result in results):
        of_set = [result for result in results if result.set == about]
        names = list(dict.fromkeys(result.who for result in of_set))
        first = median(result.rate for result in of_set if result.who == names[0])
        rounds = sum(result.who == names[0] for result in of_set)
        print(
            f"\n{about + f', medians of {rounds}':32}{'images':>8}{'images/s':>10}{'CPU ms/image':>14}{'1 run is':>10}"
        )
        for name in names:
            own = [result for result in of_set if result.who == name]
            rate, cpu = median(result.rate for result in own), median(result.cpu_ms for result in own)
            print(f"{name:32}{own[0].images:>8}{rate:>10.0f}{cpu:>14.2f}{first / rate:>9.1f}x")


def machine() -> str:
    """Where and when it was measured."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{datetime.now().astimezone():%Y-%m-%d}, {os.cpu_count()} cores, {platform.machine()}, {python}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    # As many as make a start, which takes each of them one to three seconds, a small part of a crawl.
    parser.add_argument("--images", type=int, default=6000, help="70 kB JPEGs; a fifth as many of the mixed set")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--alone", action="store_true", help="without the others")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    results = []
    with TemporaryDirectory(prefix="pixcrawler-benchmark-") as name, EmbeddedServer(Path(name)) as url:
        schema.initialise(url)
        for about, images in (("70 kB", asked.images), ("mixed", asked.images // 5)):
            folder = Path(name, about.replace(" ", "-"))
            folder.mkdir()
            results += compare(folder, url, about, images, asked.rounds, alone=asked.alone)
    show(results)
    print(f"\n{machine()}")
    if asked.json:
        about_all = {"machine": machine(), "crawls": [asdict(result) for result in results]}
        asked.json.write_text(json.dumps(about_all, indent=2) + "\n")


if __name__ == "__main__":
    main()
