"""Replicas on the loopback interface."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, Thread
from urllib.parse import parse_qsl, unquote, urlsplit

from pixcrawler.demo.loopback import LoopbackServer, QuietHandler
from pixcrawler.demo.replicas import Answer, Asked, Replica


class Server(LoopbackServer):
    """Serves one replica; pages one at a time."""

    def __init__(self, replica: Replica) -> None:
        super().__init__(Handler)
        self.replica = replica
        self.lock = Lock()
        replica.url = self.url


class Handler(QuietHandler):
    """Answers one connection."""

    server: Server

    def do_GET(self) -> None:  # noqa: N802 - the base class looks for this name
        self._answer()

    def do_POST(self) -> None:  # noqa: N802 - the base class looks for this name
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
