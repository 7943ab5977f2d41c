"""The API under load: 200 streams of events, and 50 requests a second beside them.

A fresh PostgreSQL, the API as a process, one user with an API key; a job whose progress changes twice a second, so that
every stream has something to tell. Prints errors, latencies and memory. `.venv/bin/python benchmarks/api.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import psutil
import psycopg

ROOT = Path(__file__).parents[1]

from pixcrawler.db import schema  # noqa: E402
from pixcrawler.db.embedded import EmbeddedServer  # noqa: E402
from pixcrawler.services import free_port  # noqa: E402

ASKED = ("crawl-jobs/", "crawl-jobs/{job}", "crawl-jobs/{job}/progress", "crawl-jobs/{job}/images", "auth/me")
NO_LIMIT = "user:1000000,address:1000000,failures:1000000"


class Load:
    """What was seen."""

    def __init__(self, url: str, key: str, job: int) -> None:
        self.url = f"{url}/api/v1/"
        self.headers = {"Authorization": f"Bearer {key}"}
        self.job = job
        self.told = 0  # events
        self.seconds: list[float] = []
        self.wrong: Counter[str] = Counter()
        self.over = asyncio.Event()

    def client(self) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=None)
        return httpx.AsyncClient(
            base_url=self.url, headers=self.headers, timeout=30, limits=limits, trust_env=False, verify=False
        )

    async def listen(self, client: httpx.AsyncClient) -> None:
        try:
            async with client.stream("GET", f"crawl-jobs/{self.job}/events") as stream:
                if stream.status_code != 200:
                    self.wrong[f"stream: {stream.status_code}"] += 1
                    return
                async for line in stream.aiter_lines():
                    self.told += line.startswith("data:")
                    if self.over.is_set():
                        return
                self.wrong["a stream ended"] += 1
        except httpx.HTTPError as error:
            self.wrong[f"stream: {type(error).__name__}"] += 1

    async def ask(self, client: httpx.AsyncClient, path: str) -> None:
        began = time.perf_counter()
        try:
            answer = await client.get(path.format(job=self.job))
            if answer.status_code != 200:
                self.wrong[f"{path}: {answer.status_code}"] += 1
        except httpx.HTTPError as error:
            self.wrong[f"{path}: {type(error).__name__}"] += 1
        self.seconds.append(time.perf_counter() - began)


@contextmanager
def serving(url: str, folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    port = free_port()
    ours = {"DATABASE_URL": url, "PIXCRAWLER_DATA_DIR": str(folder), "PORT": str(port)}
    command = [sys.executable, "-m", "pixcrawler.cli", "api"]
    env = {**os.environ, **ours, "PIXCRAWLER_REQUEST_LIMITS": NO_LIMIT, "PYTHONPATH": str(ROOT)}
    with (folder / "api.log").open("wb") as log, subprocess.Popen(command, env=env, stderr=log) as process:
        address = f"http://127.0.0.1:{port}"
        try:
            while True:
                try:
                    httpx.get(f"{address}/api/v1/health/", trust_env=False)
                    break
                except httpx.TransportError:
                    time.sleep(0.1)
            yield address, psutil.Process(process.pid)
        finally:
            process.terminate()


async def drive(load: Load, database: str, process: psutil.Process, asked: Any) -> list[float]:
    """Streams, then requests at their rate, as long as asked. Megabytes of the API, ten times."""
    memory = []
    async with load.client() as listeners, load.client() as askers:
        streams = [asyncio.create_task(load.listen(listeners)) for _ in range(asked.streams)]
        while load.told < asked.streams and not load.wrong:  # noqa: ASYNC110  # of an event for each there is more to read
            await asyncio.sleep(0.1)
        with psycopg.connect(database, autocommit=True) as connection:
            began, requests, paths = time.monotonic(), [], cycle(ASKED)
            for number in range(round(asked.seconds * asked.rate)):
                await asyncio.sleep(max(0.0, began + number / asked.rate - time.monotonic()))
                requests.append(asyncio.create_task(load.ask(askers, next(paths))))
                if number % (asked.rate // 2) == 0:
                    connection.execute("UPDATE public.crawl_jobs SET total_images = total_images + 1")
                if number % round(asked.seconds * asked.rate / 10) == 0:
                    memory.append(process.memory_info().rss / 1e6)
            await asyncio.gather(*requests)
            load.over.set()
            connection.execute("UPDATE public.crawl_jobs SET total_images = total_images + 1")
        await asyncio.gather(*streams)
    return [*memory, process.memory_info().rss / 1e6]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--rate", type=int, default=50, help="requests a second")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--json", type=Path, help="a file for the figures")
    asked = parser.parse_args()
    with TemporaryDirectory(prefix="pixcrawler-benchmark-") as name, EmbeddedServer(Path(name) / "server") as url:
        folder = Path(name) / "data"
        folder.mkdir()
        schema.initialise(url)
        with serving(url, folder) as (address, process), httpx.Client(base_url=f"{address}/api/v1/") as local:
            key = local.post("api-keys/", json={"name": "load", "rate_limit": 100_000}).json()["key"]
            job = local.post("crawl-jobs/", json={"keywords": ["otter"], "max_images": 5, "sources": ["openverse"]})
            load = Load(address, key, job.json()["id"])
            before = process.cpu_times()
            began = time.monotonic()
            memory = asyncio.run(drive(load, url, process, asked))
            took, after = time.monotonic() - began, process.cpu_times()
    times = sorted(load.seconds)
    figures = {
        "streams": asked.streams,
        "events told": load.told,
        "requests": len(times),
        "requests a second": round(len(times) / took, 1),
        "wrong": dict(load.wrong),
        "p50 ms": round(times[len(times) // 2] * 1000, 1),
        "p95 ms": round(times[int(len(times) * 0.95)] * 1000, 1),
        "p99 ms": round(times[int(len(times) * 0.99)] * 1000, 1),
        "CPU of the API": round((after.user + after.system - before.user - before.system) / took, 2),
        "MB at the beginning": round(memory[0]),
        "MB at the most": round(max(memory)),
        "MB at the end": round(memory[-1]),
        "load of the machine": round(os.getloadavg()[0], 1),
    }
    for what, figure in figures.items():
        print(f"{what:22}{figure}")
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
