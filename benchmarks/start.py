"""How soon a job begins and ends, on an idle machine.

From the commit of its row to the first request: `pixcrawler up` with its own settings, a row at a time, at random
moments. By turns with the floor under it: the same crawl as a bare `scrapy crawl`, from the start of the process to the
first request, and the CPU that took; and from the last answer, after which there is nothing to do, to the end of the
process. Linux: `.venv/bin/python benchmarks/start.py`; the figures also go to `--json FILE`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from urllib.parse import parse_qs, urlsplit

import psycopg
from serving import free_port
from throughput import machine

ROOT = Path(__file__).parents[1]
PATIENCE = 60.0  # seconds
POLL = 1.0  # seconds; the longest beat in the system, at a random moment of which a row arrives
INSERT = """
INSERT INTO public.crawl_jobs (project_id, name, keywords, max_images)
SELECT min(id), 'latency', %s, 1 FROM public.projects RETURNING id
"""
NOTHING = json.dumps({"result_count": 0, "page_count": 0, "page_size": 20, "page": 1, "results": []}).encode()


class Source(ThreadingHTTPServer):
    """Finds nothing, and remembers when each keyword was first looked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: dict[str, float] = {}
        self.news = threading.Condition()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def asked_at(self, keyword: str) -> float:
        with self.news:
            if not self.news.wait_for(lambda: keyword in self.asked, PATIENCE):
                sys.exit(f"nobody asked for {keyword} within {PATIENCE:.0f} s")
        return self.asked[keyword]


class Handler(BaseHTTPRequestHandler):
    server: Source

    def do_GET(self) -> None:
        keyword = parse_qs(urlsplit(self.path).query).get("q", [""])[0]
        with self.server.news:
            self.server.asked.setdefault(keyword, time.monotonic())
            self.server.news.notify_all()
        self.send_response(200)
        self.send_header("Content-Length", str(len(NOTHING)))
        self.end_headers()
        self.wfile.write(NOTHING)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[Source]:
    source = Source()
    threading.Thread(target=source.serve_forever, daemon=True).start()
    yield source
    source.shutdown()


@contextmanager
def up(folder: Path, source: Source) -> Iterator[str]:
    """`pixcrawler up` until the end of the block; the address of its database."""
    environment = {
        "PIXCRAWLER_DATA_DIR": str(folder),
        "PIXCRAWLER_BASE_URL_OPENVERSE": source.address,
        "PIXCRAWLER_DEFAULT_SOURCES": "openverse",
        "PIXCRAWLER_ALLOW_HOSTS": "127.0.0.1",
        "SCRAPYD_NODES": f"http://127.0.0.1:{free_port()}#2",
        "PORT": str(free_port()),
    }
    command = [sys.executable, "-u", "-m", "pixcrawler.cli", "up"]
    log = (folder / "up.log").open("wb")
    process = subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    try:
        yield next(line.split()[-1] for line in process.stdout if line.startswith("The database is at"))
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()
        log.close()


def through_the_system(database: psycopg.Connection, source: Source, keyword: str) -> float:
    row = database.execute(INSERT, (json.dumps([keyword]),)).fetchone()
    began = time.monotonic()
    seconds = source.asked_at(keyword) - began
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:  # the next one finds an idle machine
        if database.execute("SELECT status FROM public.crawl_jobs WHERE id = %s", row).fetchone() == ("failed",):
            return seconds
        time.sleep(0.05)
    sys.exit("a job did not end")


def bare(folder: Path, source: Source, keyword: str) -> tuple[float, float, float]:
    """Seconds to the first request, of CPU in all, and from the answer to the end."""
    command = [sys.executable, "-m", "scrapy", "crawl", "openverse", "-s", "LOG_LEVEL=ERROR"]
    command += ["-a", f"keywords={keyword}", "-a", "max_images=1", "-a", f"base_url={source.address}"]
    environment = {"PIXCRAWLER_DATA_DIR": str(folder / "bare"), "PIXCRAWLER_ALLOW_HOSTS": "127.0.0.1"}
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | environment, stdout=subprocess.DEVNULL)
    asked_at = source.asked_at(keyword)
    _, status, usage = os.wait4(process.pid, 0)
    ended_at = time.monotonic()
    process.returncode = os.waitstatus_to_exitcode(status)
    return asked_at - began, usage.ru_utime + usage.ru_stime, ended_at - asked_at


def show(who: str, seconds: list[float]) -> None:
    p95 = quantiles(seconds, n=20)[-1]
    print(f"{who:32}{len(seconds):>6}{median(seconds):>9.2f}{p95:>9.2f}{max(seconds):>9.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=40)
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    ours, floors = [], []
    with TemporaryDirectory(prefix="pixcrawler-benchmark-") as name, serving() as source:
        folder = Path(name)
        with up(folder, source) as url, psycopg.connect(url, autocommit=True) as database:
            through_the_system(database, source, "warm up")
            for number in range(asked.jobs):
                time.sleep(random.uniform(0, POLL))
                ours.append(through_the_system(database, source, f"job {number}"))
                floors.append(bare(folder, source, f"bare {number}"))
    floor, cpu, end = (list(figures) for figures in zip(*floors, strict=True))
    print(f"{'seconds':32}{'jobs':>6}{'median':>9}{'p95':>9}{'worst':>9}")
    show("row to first request", ours)
    show("bare crawl to first request", floor)
    show("CPU of a bare crawl", cpu)
    show("last answer to end", end)
    print(f"median of the ratios: {median(a / b for a, b in zip(ours, floor, strict=True)):.2f}")
    print(f"\n{machine()}")
    if asked.json:
        figures = {"row_to_first_request": ours, "bare_to_first_request": floor, "bare_cpu": cpu, "end": end}
        asked.json.write_text(json.dumps({"machine": machine(), "seconds": figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
