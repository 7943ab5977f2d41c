"""A crawl of a list in which nine addresses of ten are a fault: does it add up, does its memory grow, does it stall?

A web of its own process has ten kinds of addresses in equal parts: good pictures, ways into our own network, answers
without end, packed bombs, drips, torn connections, no HTTP, refusals, busy hosts, and what is no picture. A real
`scrapy crawl urls` fetches them, with a short time-out and a low limit of bytes. Linux:
`.venv/bin/python benchmarks/faults.py`; the figures also go to `--json FILE`.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image
from scrapy import signals
from scrapy.crawler import Crawler

ROOT = Path(__file__).parents[1]
HOSTS = [f"127.0.1.{n}" for n in range(1, 25)]
BUSY_HOSTS = [f"127.0.2.{n}" for n in range(1, 9)]
TIMEOUT = 2  # seconds, in place of 20: a slow address is asked twice
MOST_BYTES = 2 * 2**20  # in place of 25 MiB: thousands of endless answers would measure the machine
BUSY_ONE_IN = 20  # answers of a busy host ask for a pause of a second

TICK = 0.01  # seconds between two looks at the event loop
SAMPLE = 25  # ticks between two looks at the memory
WARM_UP = 0.2  # of the crawl: imports, pools and buffers are no growth

GROWTH = 50 * 10**6  # bytes; the bar
STALL = 0.25  # seconds; the bar, for 99 of 100 looks

PACKED = bytes(2 * MOST_BYTES)
HEAD = b"HTTP/1.1 200 OK\r\n"
CLOSE = b"Connection: close\r\n"


class Probe:
    """An extension that notes how late the event loop comes, and how much memory the process has."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.late: list[float] = []  # seconds, per tick
        self.memory: list[tuple[float, int]] = []  # time.monotonic(), bytes
        self.task: asyncio.Task[None] | None = None

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Probe:
        probe = cls(Path(os.environ["PROBE_FILE"]))
        crawler.signals.connect(probe.spider_opened, signals.spider_opened)
        crawler.signals.connect(probe.spider_closed, signals.spider_closed)
        return probe

    def spider_opened(self) -> None:
        self.task = asyncio.create_task(self.look())

    def spider_closed(self) -> None:
        assert self.task is not None
        self.task.cancel()
        self.file.write_text(json.dumps({"late": self.late, "memory": self.memory}))

    async def look(self) -> None:
        page = os.sysconf("SC_PAGE_SIZE")
        while True:
            if len(self.late) % SAMPLE == 0:
                resident = int(Path("/proc/self/statm").read_text().split()[1]) * page  # noqa: ASYNC240  # no disk
                self.memory.append((time.monotonic(), resident))
            before = time.monotonic()
            await asyncio.sleep(TICK)
            self.late.append(max(0.0, time.monotonic() - before - TICK))


Writer = asyncio.StreamWriter
Play = Callable[[Writer, int], Awaitable[None]]


def answer(body: bytes = b"", status: str = "200 OK", **headers: str) -> Play:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status}\r\n{lines}Content-Length: {len(body)}\r\n".encode()
    return raw(head + CLOSE + b"\r\n" + body)


def raw(data: bytes) -> Play:
    async def play(writer: Writer, _: int) -> None:
        writer.write(data)

    return play


def endless(head: bytes, piece: bytes, seconds: float = 0.0) -> Play:
    async def play(writer: Writer, _: int) -> None:
        writer.write(head)
        while not writer.is_closing():
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(seconds)

    return play


async def good(writer: Writer, number: int) -> None:
    await answer(picture(number))(writer, number)


async def another(writer: Writer, number: int) -> None:
    await good(writer, number + 10**6)


async def torn(writer: Writer, _: int) -> None:
    writer.write(HEAD + b"Content-Length: 100000\r\n\r\n" + bytes(5000))
    await writer.drain()
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def moved(place: str) -> Play:
    return answer(b"", "302 Found", Location=place)


@lru_cache(maxsize=64)
def picture(number: int) -> bytes:
    """A small JPEG like no other: soft shapes under grain."""
    chance = np.random.default_rng(number)
    shapes = Image.fromarray(chance.integers(0, 255, (8, 8, 3), dtype=np.uint8))
    soft = np.asarray(shapes.resize((256, 256), Image.Resampling.BICUBIC), dtype=np.float32)
    grain = chance.normal(0, 12, (256, 256, 1))
    body = BytesIO()
    Image.fromarray((soft + grain).clip(0, 255).astype(np.uint8)).save(body, "jpeg", quality=80)
    return body.getvalue()


def png_bomb() -> bytes:
    """A few kilobytes that claim and hold 64 million pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 8000, 8000, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(8000 * 1001))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def packed(encoding: str) -> Play:
    import brotli
    from scrapy.utils._compression import zstd

    pack: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress,
        "deflate": zlib.compress,
        "br": brotli.compress,
        "zstd": zstd.compress,
    }
    body = PACKED
    for name in encoding.split(", "):
        body = pack[name](body)
    return answer(body, Content_Encoding=encoding)


@dataclass(frozen=True)
class Fault:
    """One way an address behaves, and the reasons the funnel may give."""

    name: str
    reasons: str
    play: Play | None = None  # None: nobody is to be reached
    url: str = "http://{host}:{port}/{name}/{number}.jpg"
    hosts: tuple[str, ...] = tuple(HOSTS)


LATE = "unreachable timeout"
GROUPS: dict[str, tuple[Fault, ...]] = {
    "good": (Fault("good", "kept", good),),
    "inside": (
        Fault("literal", "firewall", url="http://127.0.0.1:{port}/{number}.jpg"),
        Fault("metadata", "firewall", url="http://169.254.169.254/{number}.jpg"),
        Fault("decimal", "firewall", url="http://2130706433:{port}/{number}.jpg"),
        Fault("mapped", "firewall", url="http://[::ffff:127.0.0.1]:{port}/{number}.jpg"),
        Fault("user", "firewall", url="http://a@{host}:{port}/{number}.jpg"),
        Fault("port", "firewall", url="http://8.8.8.8:6379/{number}.jpg"),
        Fault("file", "firewall bad_url", url="file:///etc/passwd?{number}"),
        Fault("moved", "firewall", moved("http://127.0.0.1/x.jpg")),
        Fault("moved-to-file", "http_error", moved("file:///etc/passwd")),
        Fault("moved-without-end", "http_error", moved("?again")),
    ),
    "without end": (
        Fault("terabyte", "too_large", endless(HEAD + b"Content-Length: 1000000000000\r\n\r\n", bytes(65536))),
        Fault("endless", "too_large timeout", endless(HEAD + b"\r\n", bytes(65536))),
        Fault(
            "chunks",
            "too_large timeout",
            endless(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + bytes(65536) + b"\r\n"),
        ),
        Fault("headers", "unreachable timeout", endless(HEAD, b"X-Padding: " + b"x" * 8000 + b"\r\n")),
    ),
    "packed": tuple(
        Fault(f"packed-{n}", "too_large", packed(encoding))
        for n, encoding in enumerate(("gzip", "deflate", "br", "zstd", "gzip, gzip"))
    ),
    "slow": (
        Fault("drip", "timeout", endless(HEAD + b"Content-Length: 100000\r\n\r\n", b"x", 0.2)),
        Fault("silence", "timeout", endless(b"", b"", 0.2)),
    ),
    "torn": (
        Fault("cut", "unreachable", raw(HEAD + b"Content-Length: 100000\r\n\r\n" + bytes(5000))),
        Fault("reset", "unreachable", torn),
        Fault("chunk", "unreachable", raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n")),
        Fault("hangs-up", "unreachable", raw(b"")),
    ),
    "no http": (
        Fault("ssh", "unreachable", raw(b"SSH-2.0-OpenSSH_9.9\r\n")),
        Fault("tls", "unreachable timeout", raw(b""), url="https://{host}:{port}/{name}/{number}.jpg"),
        Fault("empty", "not_an_image", answer()),
        Fault("no-content", "http_error", answer(status="204 No Content")),
        Fault("not-packed", "damaged", answer(bytes(5000), Content_Encoding="gzip")),
    ),
    "refused": tuple(
        Fault(status, "http_error", answer(b"no", f"{status} No")) for status in ("401", "403", "404", "410")
    ),
    "busy": (
        Fault("500", "server_error", answer(b"", "500 No")),
        Fault("503", "server_error", answer(b"", "503 No")),
        Fault("429", "kept paused", another, hosts=tuple(BUSY_HOSTS)),
    ),
    "no picture": (
        Fault("html", "not_an_image", answer(b"<!doctype html>", Content_Type="image/jpeg")),
        Fault("svg", "not_an_image", answer(b'<svg xmlns="http://www.w3.org/2000/svg"/>', Content_Type="image/jpeg")),
        Fault("json", "not_an_image", answer(b"{}", Content_Type="image/jpeg")),
        Fault("half", "damaged", answer(picture(0)[: len(picture(0)) // 2])),
        Fault("bomb", "bomb", answer(png_bomb())),
    ),
}
FAULTS = {fault.name: fault for group in GROUPS.values() for fault in group}


def addresses(number: int, port: int) -> dict[str, Fault]:
    """As many addresses of each group, in no order."""
    made: dict[str, Fault] = {}
    for faults in GROUPS.values():
        for n in range(number // len(GROUPS)):
            fault = faults[n % len(faults)]
            host = fault.hosts[n // len(faults) % len(fault.hosts)]
            made[fault.url.format(host=host, port=port, name=fault.name, number=n)] = fault
    shuffled = list(made.items())
    random.Random(0).shuffle(shuffled)
    return dict(shuffled)


async def serve() -> None:
    """The web, until it is killed. Prints its port."""
    busy: Counter[str] = Counter()

    async def handle(reader: asyncio.StreamReader, writer: Writer) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, IndexError):
            head = await reader.readuntil(b"\r\n\r\n")
            name, _, rest = head.split(b" ")[1].decode().removeprefix("/").partition("/")
            host = writer.get_extra_info("sockname")[0]
            fault = FAULTS.get(name)
            play = fault.play if fault else None
            busy[host] += host in BUSY_HOSTS and fault is not None
            if fault and busy[host] % BUSY_ONE_IN == 1:
                play = answer(b"", "429 Too Many Requests", Retry_After="1")
            await (play or answer(b"", "404 Not Found"))(writer, int(rest.split(".")[0]) if fault else 0)
            await writer.drain()
        writer.close()

    with socket.socket() as probe:
        probe.bind((HOSTS[0], 0))
        port = probe.getsockname()[1]
    await asyncio.start_server(handle, [*HOSTS, *BUSY_HOSTS], port, backlog=512)
    print(port, flush=True)
    await asyncio.Event().wait()


@contextmanager
def web() -> Iterator[int]:
    """The web in a process of its own; its port."""
    server = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield int(server.stdout.readline())
    finally:
        server.kill()
        server.wait()


class Idler(threading.Thread):
    """Looks at the clock as the probe does and does nothing else: what it is late by is the machine's doing."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.late: list[float] = []  # seconds, per tick
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.is_set():
            before = time.monotonic()
            self.over.wait(TICK)
            self.late.append(max(0.0, time.monotonic() - before - TICK))


@dataclass
class Result:
    """What one crawl did."""

    addresses: int
    outcomes: int
    seconds: float
    stall_p99_ms: float
    stall_longest_ms: float
    machine_p99_ms: float  # what a process that does nothing was late by meanwhile
    memory_mb: float  # at the end
    growth_mb: float  # by the slope, over the crawl without its warm-up
    reasons: dict[str, dict[str, int]]  # by group
    wrong: list[str] = field(default_factory=list)  # outcomes nobody expected

    @property
    def passed(self) -> bool:
        return (
            self.outcomes == self.addresses
            and not self.wrong
            and self.stall_p99_ms - self.machine_p99_ms < 1000 * STALL
            and self.growth_mb < GROWTH / 1e6
        )


def crawl(folder: Path, urls: dict[str, Fault]) -> Result:
    (folder / "list.txt").write_text("".join(f"{url}\n" for url in urls))
    extensions = {"pixcrawler.extensions.progress.Progress": 100, "faults.Probe": 200}
    settings = {"EXTENSIONS": json.dumps(extensions), "DOWNLOAD_TIMEOUT": TIMEOUT, "DOWNLOAD_MAXSIZE": MOST_BYTES}
    command = [sys.executable, "-m", "scrapy", "crawl", "urls", "-a", f"list={folder}/list.txt"]
    for name, value in (settings | {"LOG_LEVEL": "ERROR"}).items():
        command += ["-s", f"{name}={value}"]
    environment = {
        "PIXCRAWLER_ALLOW_HOSTS": "127.0.1.0/24,127.0.2.0/24",
        "PIXCRAWLER_DATA_DIR": str(folder),
        "PROBE_FILE": str(folder / "probe.json"),
        "PYTHONPATH": f"{ROOT / 'benchmarks'}:{ROOT}",
    }
    began, idler = time.monotonic(), Idler()
    idler.start()
    ended = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True)
    seconds = time.monotonic() - began
    idler.over.set()
    idler.join()
    if ended.returncode or ended.stderr:
        sys.exit(f"the crawl failed:\n{ended.stderr[-4000:]}")
    [manifest] = folder.glob("crawls/*/manifest.jsonl")
    lines = [json.loads(line) for line in manifest.read_text("utf-8").splitlines()]
    probe = json.loads((folder / "probe.json").read_text())
    return judged(urls, lines, probe | {"machine": idler.late, "seconds": seconds})


def judged(urls: dict[str, Fault], lines: list[dict[str, Any]], probe: dict[str, Any]) -> Result:
    groups = {fault.name: group for group, faults in GROUPS.items() for fault in faults}
    reasons: dict[str, Counter[str]] = {group: Counter() for group in GROUPS}
    wrong: list[str] = []
    for line in lines:
        fault, reason = urls[line["url"]], line["reason"] or line["decision"]
        reasons[groups[fault.name]][reason] += 1
        if reason not in fault.reasons.split():
            wrong.append(f"{fault.name}: {reason}: {line['detail']}")
    times, memory = np.array(probe["memory"]).T
    steady = times >= times[0] + WARM_UP * (times[-1] - times[0])
    slope = np.polyfit(times[steady], memory[steady], 1)[0]
    return Result(
        addresses=len(urls),
        outcomes=len(lines),
        seconds=round(probe["seconds"], 1),
        stall_p99_ms=round(1000 * float(np.percentile(probe["late"], 99)), 1),
        machine_p99_ms=round(1000 * float(np.percentile(probe["machine"], 99)), 1),
        stall_longest_ms=round(1000 * max(probe["late"]), 1),
        memory_mb=round(memory[-1] / 1e6, 1),
        growth_mb=round(slope * (times[steady][-1] - times[steady][0]) / 1e6, 1),
        reasons={group: dict(counts.most_common()) for group, counts in reasons.items()},
        wrong=wrong,
    )


def show(result: Result) -> None:
    for group, counts in result.reasons.items():
        print(f"{group:12}{sum(counts.values()):>7}  " + ", ".join(f"{n} {reason}" for reason, n in counts.items()))
    print(f"{result.outcomes} outcomes of {result.addresses} addresses in {result.seconds:.0f} s")
    print(f"event loop late by {result.stall_p99_ms} ms (99 of 100 looks), {result.stall_longest_ms} ms at worst")
    print(f"a process that does nothing: {result.machine_p99_ms} ms (99 of 100 looks)")
    print(f"memory {result.memory_mb} MB at the end, growth {result.growth_mb} MB")
    for line in result.wrong[:20]:
        print("not expected:", line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--addresses", type=int, default=10_000)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        asyncio.run(serve())
    with TemporaryDirectory(prefix="pixcrawler-benchmark-") as name, web() as port:
        result = crawl(Path(name), addresses(asked.addresses, port))
    show(result)
    if asked.json:
        asked.json.write_text(json.dumps(vars(result), indent=2) + "\n")
    sys.exit(not result.passed)


if __name__ == "__main__":
    main()
