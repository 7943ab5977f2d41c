"""Replicas on the loopback interface."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pixcrawler.demo.replicas import Answer, Asked, Replica


class Server(ThreadingHTTPServer):
    """Serves one replica on a free port of 127.0.0.1; pages one at a time."""

    daemon_threads = True
    request_queue_size = 128  # a crawler opens many connections at once

    def __init__(self, replica: Replica) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.replica = replica
        self.lock = Lock()
        replica.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Leaves out connections that a client gave up: crawlers do that."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # header and body in one packet
    server: Server

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _answer(self, body: bytes = b"") -> None:
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        asked = Asked(unquote(parts.path), query, headers, self.command, body)
        with self.server.lock:
            answer = self.server.replica.answer(asked)
        self._send(answer)

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            for line in value.split("\n"):  # a header may come several times
                self.send_header(name, line)
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class calls it so
        """Says nothing: the terminal belongs to the demo's progress."""


@contextmanager
def serving(replica: Replica) -> Iterator[Replica]:
    """Serves a replica within a `with` block."""
    server = Server(replica)
    thread = Thread(target=server.serve_forever, args=(0.05,), name=replica.source, daemon=True)
    thread.start()
    try:
        yield replica
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
