"""A web of pictures and faults on 127.0.0.1, an image search on top of it, and crawls of both as processes."""

from __future__ import annotations

import hashlib
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pictures import encoded, photo, png_bomb

PROJECT = Path(__file__).parents[1]
MEGABYTE = 2**20
OPT_OUT_FILES = frozenset({"/robots.txt", "/.well-known/tdmrep.json", "/ai.txt"})
PATIENCE = 10  # seconds a reluctant server waits for its client to leave


@dataclass
class Answer:
    """What a path answers: a status, headers, a body; `fault` names what goes wrong on the way."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    fault: str = ""


class Web(ThreadingHTTPServer):
    """Answers from `answers` by path; anything else is a 404. Counts what was asked for.

    The files that every crawl asks a host for first are counted apart, and answered without latency.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, host: str = "127.0.0.1") -> None:
        super().__init__((host, 0), _Handler)
        self.answers: dict[str, Answer] = {}
        self.results: dict[str, list[str]] = {}  # keyword → paths an image search finds
        self.hits: Counter[str] = Counter()
        self.log: list[tuple[float, str]] = []  # time.time() and path of each request
        self.opt_out_hits: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()  # bytes of bodies sent by path, where the answer is reluctant
        self.latency = 0.0  # seconds before every answer
        self.asked = threading.Event()  # something was asked for
        self.ended = threading.Event()  # the test is over: nobody hangs any longer

    @property
    def address(self) -> str:
        return "http://{}:{}".format(*self.server_address)

    def put(self, path: str, body: bytes = b"", **more: Any) -> str:
        """Makes a path answer; returns its URL."""
        self.answers[path] = Answer(body, **more)
        return self.address + path

    def photos(self, number: int, first: int = 1000) -> list[str]:
        """So many different good pictures; returns their paths."""
        paths = [f"/photo/{first + n}.jpg" for n in range(number)]
        for n, path in enumerate(paths):
            self.put(path, encoded(photo(first + n, (320, 240))))
        return paths

    def handle_error(self, *_: Any) -> None:
        pass  # the other side may leave when it likes


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Web

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path in OPT_OUT_FILES:
            self.server.opt_out_hits[path] += 1
            self._send(self.server.answers.get(path, Answer(b"nothing here", 404)))
            return
        self.server.hits[self.path] += 1
        self.server.log.append((time.time(), self.path))
        self.server.asked.set()
        self.server.ended.wait(self.server.latency)
        if path == "/v1/images/" and path not in self.server.answers:
            self._send(self._search())
        else:
            self._send(self.server.answers.get(path, Answer(b"nothing here", 404)))

    def _search(self) -> Answer:
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        page, size = int(query["page"]), int(query["page_size"])
        if page * size > 240:
            return Answer(b'{"detail": "pagination depth may not exceed 240 for anonymous requests"}', 401)
        found = self.server.results.get(query["q"], [])
        shown = found[(page - 1) * size : page * size]
        count = min(len(found), 240)
        answer = {"result_count": count, "page_count": -(-count // size), "page_size": size, "page": page}
        return Answer(json.dumps({**answer, "results": [self._result(path) for path in shown]}).encode())

    def _result(self, path: str) -> dict[str, Any]:
        fields = ("creator", "creator_url", "license_url", "width", "height", "filesize", "filetype", "attribution")
        known = {"id": path, "title": f"<b>{path}</b>", "license": "by", "license_version": "4.0"}
        url = path if "://" in path else self.server.address + path
        return dict.fromkeys(fields) | known | {"url": url, "foreign_landing_url": f"{url}.html"}

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        length = {"Content-Length": str(len(answer.body) + (answer.fault == "cut"))}
        if answer.fault == "stream":
            length = {"Connection": "close"}
        for name, value in (length | answer.headers).items():
            self.send_header(name, value)
        getattr(self, f"_{answer.fault or 'whole'}")(answer.body)

    def _whole(self, body: bytes) -> None:
        self.end_headers()
        self.wfile.write(body)

    def _reluctant(self, body: bytes) -> None:
        """Holds the body back as long as its client may still leave because of the headers."""
        self.end_headers()
        left, _, _ = select.select([self.connection], [], [], PATIENCE)
        if not left:
            self.wfile.write(body)
            self.server.sent[urlsplit(self.path).path] += len(body)
        self.close_connection = True

    def _cut(self, body: bytes) -> None:
        self._whole(body)
        self.close_connection = True

    def _stream(self, body: bytes) -> None:
        self._whole(body)
        self.close_connection = True

    def _drip(self, body: bytes) -> None:
        self.end_headers()
        for byte in body:
            self.wfile.write(bytes([byte]))
            if self.server.ended.wait(0.05):
                return

    def _hang(self, body: bytes) -> None:
        self.server.ended.wait(60)
        self.close_connection = True

    def _reset(self, body: bytes) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.connection.close()
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def web(host: str = "127.0.0.1") -> Iterator[Web]:
    """A running web, at an address of the loopback interface."""
    server = Web(host)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


def closed_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def faulty_urls(web: Web) -> dict[str, str]:
    """Every way an image can fail, with the reason the funnel must give; "kept" for those that do not."""
    good = encoded(photo(1), quality=90)
    put = web.put
    return {
        put("/good.jpg", good): "kept",
        put("/good.png", encoded(photo(2), "png")): "kept",
        put("/good.webp", encoded(photo(3), "webp")): "kept",
        put("/good.gif", encoded(photo(4), "gif")): "kept",
        put("/mislabelled.png", encoded(photo(5)), headers={"Content-Type": "text/plain"}): "kept",
        put("/page.png", encoded(photo(5)), headers={"Content-Type": "text/html"}): "not_an_image",
        put("/moved", status=301, headers={"Location": "/target.jpg"}): "kept",
        put("/cut.jpg", encoded(photo(7)), fault="cut"): "unreachable",
        put("/stream.jpg", encoded(photo(8)), fault="stream"): "kept",
        put("/tiny.png", encoded(photo(9, (40, 30)), "png")): "too_small",
        put("/thin.png", encoded(photo(10, (1000, 210)), "png")): "aspect",
        put("/page.jpg", b"<!doctype html><h1>Not found</h1>", headers={"Content-Type": "image/jpeg"}): "not_an_image",
        put("/empty.jpg"): "not_an_image",
        put("/truncated.jpg", good[: len(good) // 2]): "damaged",
        put("/bomb.png", png_bomb()): "bomb",
        put("/loop", status=302, headers={"Location": "/loop"}): "http_error",
        put("/to-file", status=302, headers={"Location": "file:///etc/passwd"}): "http_error",
        put("/to-inside", status=302, headers={"Location": "http://169.254.169.254/latest"}): "firewall",
        put("/teapot", status=418): "http_error",
        put("/gone", status=410): "http_error",
        web.address + "/nothing": "http_error",
        put("/broken", status=500): "server_error",
        put("/busy", status=503): "server_error",
        put("/drip.jpg", good, fault="drip"): "timeout",
        put("/hang.jpg", fault="hang"): "timeout",
        put("/huge.jpg", headers={"Content-Length": str(26 * MEGABYTE)}): "too_large",
        put("/huge-stream.jpg", bytes(26 * MEGABYTE), fault="stream"): "too_large",
        put("/reset.jpg", fault="reset"): "unreachable",
        f"http://127.0.0.1:{closed_port()}/refused.jpg": "unreachable",
        "http://10.0.0.1/private.jpg": "firewall",
        "ftp://127.0.0.1/file.jpg": "firewall",
        "http://[bad/x.jpg": "bad_url",
        "http:///nohost.jpg": "firewall",
    }


@dataclass
class Crawl:
    """A crawl that has ended."""

    status: int
    seconds: float
    output: str
    log: str
    data: Path

    @property
    def folder(self) -> Path:
        [folder] = (self.data / "crawls").iterdir()
        return folder

    @property
    def manifest(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "manifest.jsonl").read_text("utf-8").splitlines()]

    @property
    def reasons(self) -> dict[str, str]:
        return {line["url"]: line["reason"] or line["decision"] for line in self.manifest}

    @property
    def kept(self) -> list[dict[str, Any]]:
        return [line for line in self.manifest if line["decision"] == "kept"]

    def check_files(self) -> None:
        """Files and manifest agree: nothing else lies there, and every file is what its name says."""
        found = {path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file()}
        assert found == {line["file"] for line in self.kept} | {"manifest.jsonl"}
        for line in self.kept:
            assert hashlib.sha256((self.folder / line["file"]).read_bytes()).hexdigest() == line["sha256"]


CRAWL = (sys.executable, "-m", "scrapy", "crawl")


def started(data: Path, *arguments: str, command: tuple[str, ...] = CRAWL, **environment: str) -> subprocess.Popen[str]:
    """`scrapy crawl` as a process in the project folder, with a data folder of its own."""
    clean = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    ours = {"PIXCRAWLER_ALLOW_HOSTS": "127.0.0.1", "PIXCRAWLER_DATA_DIR": str(data), "PYTHONWARNINGS": "default"}
    ours["PYTHONPATH"] = str(PROJECT)
    return subprocess.Popen(
        [*command, *arguments],
        cwd=PROJECT,
        env=clean | ours | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str], text: str) -> str:
    """Waits until the process has logged this text; returns the log so far, which `finished` leaves out."""
    assert process.stderr
    log = b""
    while text.encode() not in log:
        byte = os.read(process.stderr.fileno(), 1)  # no more than that: the rest is for `finished`
        assert byte, f"ended without a word of {text!r}:\n{log.decode()}"
        log += byte
    return log.decode()


def finished(process: subprocess.Popen[str], data: Path, seconds: float = 60) -> Crawl:
    """The crawl once its process has ended."""
    began = time.monotonic()
    try:
        output, log = process.communicate(timeout=seconds)
    finally:
        process.kill()
        process.wait()
    return Crawl(process.returncode, time.monotonic() - began, output, log, data)


def crawl(data: Path, *arguments: str, **environment: str) -> Crawl:
    """`scrapy crawl …` to its end."""
    return finished(started(data, *arguments, **environment), data)
