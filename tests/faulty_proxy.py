"""An HTTP proxy in front of a store, that does to an exchange what a test wants."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

HOPS = {"connection", "keep-alive", "transfer-encoding"}
HANG_SECONDS = 10  # clients leave earlier
RESET = b"\1\0\0\0\0\0\0\0"  # SO_LINGER: on, no seconds


@dataclass
class Exchange:
    """A request on its way, and what is to go wrong with it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    status: int = 0  # answered in the store's place
    answer_headers: dict[str, str] = field(default_factory=dict)
    reset: str = ""  # the connection breaks "before" or "after" the store has seen the request
    hang: bool = False  # no answer for as long as the client has patience
    flip: bool = False  # a bit of the answer
    cut: int | None = None  # bytes of the answer's body after which the connection breaks

    def flip_request(self) -> None:
        """Damages the body on its way."""
        self.body = flipped(self.body)


def flipped(body: bytes) -> bytes:
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :] if body else body


class Proxy(ThreadingHTTPServer):
    """Passes requests on to `target`; `disturb` may change an exchange before."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = urlsplit(target)
        self.disturb: Callable[[Exchange], None] = lambda exchange: None
        self.seen: list[Exchange] = []
        self.ended = threading.Event()  # the test is over: nobody hangs any longer

    @property
    def address(self) -> str:
        return "http://{}:{}".format(*self.server_address)

    def handle_error(self, *_: Any) -> None:
        pass  # the other side may leave when it likes


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        exchange = Exchange(self.command, self.path, dict(self.headers), body)
        self.server.seen.append(exchange)
        self.server.disturb(exchange)
        if exchange.hang:
            self.server.ended.wait(HANG_SECONDS)
        if exchange.reset == "before" or exchange.hang:
            return self._break()
        if exchange.status:
            return self._answer(exchange.status, exchange.answer_headers, b"", None)
        status, headers, answer = self._ask(exchange)
        if exchange.reset == "after":
            return self._break()
        return self._answer(status, headers, flipped(answer) if exchange.flip else answer, exchange.cut)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = do_PATCH = _pass_on  # noqa: N815

    def _ask(self, exchange: Exchange) -> tuple[int, dict[str, str], bytes]:
        target = self.server.target
        connection = HTTPConnection(str(target.hostname), target.port)
        try:
            connection.request(exchange.method, exchange.path, exchange.body or None, exchange.headers)
            answer = connection.getresponse()
            headers = {name: value for name, value in answer.getheaders() if name.lower() not in HOPS}
            return answer.status, headers, answer.read()
        finally:
            connection.close()

    def _answer(self, status: int, headers: dict[str, str], body: bytes, cut: int | None) -> None:
        self.send_response_only(status)
        if self.command != "HEAD" and "content-length" not in {name.lower() for name in headers}:
            headers = {**headers, "Content-Length": str(len(body))}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body if cut is None else body[:cut])
        if cut is not None and cut < len(body):
            self._break()

    def _break(self) -> None:
        with suppress(OSError):
            self.wfile.flush()
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.connection.close()
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def proxy(target: str) -> Iterator[Proxy]:
    """A running proxy in front of an address."""
    server = Proxy(target)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
