"""The demo's source on the loopback interface: Openverse's search, the pictures, and the faults of real servers."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from threading import Lock
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pixcrawler.demo import api, bodies
from pixcrawler.demo.catalogue import Entry, Kind
from pixcrawler.demo.loopback import LoopbackServer, QuietHandler

SEARCH = "/v1/images/"
MEDIA_TYPES = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
DRIBBLES = 10


class Server(LoopbackServer):
    """Serves a catalogue and counts what it is asked for."""

    def __init__(self, entries: Sequence[Entry], slow_seconds: float) -> None:
        super().__init__(Handler)
        self.entries = entries
        self.by_path = {entry.path: entry for entry in entries}
        self.targets = {target(entry): entry for entry in entries if entry.kind is Kind.REDIRECT}
        self.slow_seconds = slow_seconds
        self._hits: Counter[str] = Counter()
        self._refusals = 0
        self._lock = Lock()

    def hits(self) -> dict[str, int]:
        """How often each path was asked for so far."""
        with self._lock:
            return dict(self._hits)

    def count(self, path: str) -> int:
        """Counts a request; returns how many there were for its path."""
        with self._lock:
            self._hits[path] += 1
            return self._hits[path]

    def refuse(self, searches: int) -> None:
        """Answers the next searches with 429."""
        with self._lock:
            self._refusals = searches

    def refuses(self) -> bool:
        """Whether this search is to be answered with 429."""
        with self._lock:
            refused = self._refusals > 0
            self._refusals -= refused
            return refused


class Handler(QuietHandler):
    """Answers one connection."""

    server: Server

    def do_GET(self) -> None:  # noqa: N802 - the base class looks for this name
        parts = urlsplit(self.path)
        times = self.server.count(parts.path)
        if parts.path == SEARCH:
            self._search(dict(parse_qsl(parts.query)), times)
        elif entry := self.server.by_path.get(parts.path):
            self._picture(entry)
        elif entry := self.server.targets.get(parts.path):
            self._file(entry)
        else:
            self._json(404, {"detail": "Not found."})

    def _search(self, asked: Mapping[str, str], times: int) -> None:
        limits = api.rate_limits(times)
        if self.server.refuses():
            detail = "Request was throttled. Expected available in 1 seconds."
            self._json(429, {"detail": detail}, {"Retry-After": "1", **limits})
        else:
            found = [entry for entry in self.server.entries if entry.in_api and api.matches(entry, asked.get("q", ""))]
            self._json(*api.search(found, asked, self._records), limits)

    def _records(self, entries: Sequence[Entry]) -> list[Any]:
        return [api.item(entry, self.server.url) for entry in entries]

    def _picture(self, entry: Entry) -> None:
        match entry.kind:
            case Kind.MISSING:
                self._send(404, "text/html; charset=utf-8", b"<h1>404 Not Found</h1>")
            case Kind.UNAVAILABLE:
                self._send(503, "text/html; charset=utf-8", b"<h1>503 Service Unavailable</h1>", {"Retry-After": "1"})
            case Kind.REDIRECT:
                self._send(302, "text/plain", b"", {"Location": target(entry)})
            case Kind.HTML:
                self._send(200, "image/jpeg", bodies.body(entry))
            case Kind.SLOW:
                self._dribble(entry)
            case _:
                self._file(entry)

    def _file(self, entry: Entry) -> None:
        self._send(200, _media_type(entry), bodies.body(entry))

    def _dribble(self, entry: Entry) -> None:
        content = bodies.body(entry)
        self._head(200, _media_type(entry), len(content))
        step = -(-len(content) // DRIBBLES)
        for start in range(0, len(content), step):
            time.sleep(self.server.slow_seconds / DRIBBLES)
            self.wfile.write(content[start : start + step])
            self.wfile.flush()

    def _json(self, status: int, content: dict[str, Any], headers: Mapping[str, str] | None = None) -> None:
        self._send(status, "application/json", json.dumps(content, ensure_ascii=False).encode(), headers)

    def _send(self, status: int, media_type: str, content: bytes, headers: Mapping[str, str] | None = None) -> None:
        self._head(status, media_type, len(content), headers)
        self.wfile.write(content)

    def _head(self, status: int, media_type: str, length: int, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(HTTPStatus(status))
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(length))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()


def target(entry: Entry) -> str:
    """The path a redirect leads to."""
    return entry.path.replace("/images/", "/files/")


def _media_type(entry: Entry) -> str:
    return MEDIA_TYPES[entry.path.rpartition(".")[2]]
