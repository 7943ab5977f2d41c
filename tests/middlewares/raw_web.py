"""A web on 127.0.0.1 whose every byte a test decides on: each path is played by a function that gets the connection."""

from __future__ import annotations

import gzip
import socket
import socketserver
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import brotli

try:
    from compression import zstd  # type: ignore[import-not-found]
except ImportError:
    from backports import zstd

Play = Callable[["RawWeb", socket.socket], None]

MEGABYTE = 2**20
BOMB = bytes(64 * MEGABYTE)  # what is in a bomb: more than twice what is allowed


class RawWeb(socketserver.ThreadingTCPServer):
    """Counts what was asked for, and the bytes that could be sent."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.plays: dict[str, Play] = {}
        self.hits: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()  # bytes, by path
        self.begun: list[tuple[str, float]] = []  # of each request: path, time.monotonic()
        self.heads: list[bytes] = []  # of each request
        self.asked = threading.Event()
        self.ended = threading.Event()  # the test is over: nobody drips any longer

    def put(self, path: str, play: Play) -> str:
        """Has a path played; returns its URL."""
        self.plays[path] = play
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def handle_error(self, *_: object) -> None:
        pass  # the other side may leave when it likes


class _Handler(socketserver.BaseRequestHandler):
    server: RawWeb

    def handle(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (more := self.request.recv(65536)):
                return
            head += more
        self.path = head.split(b" ")[1].decode()
        self.server.heads.append(head)
        self.server.hits[self.path] += 1
        self.server.begun.append((self.path, time.monotonic()))
        self.server.asked.set()
        with suppress(OSError):
            self.server.plays[self.path](self.server, _Counting(self.request, self.server.sent, self.path))


class _Counting:
    """A connection that counts what it sends."""

    def __init__(self, connection: socket.socket, sent: Counter[str], path: str) -> None:
        self._connection, self._sent, self._path = connection, sent, path

    def sendall(self, data: bytes) -> None:
        self._connection.sendall(data)
        self._sent[self._path] += len(data)

    def setsockopt(self, *arguments: object) -> None:
        self._connection.setsockopt(*arguments)  # type: ignore[call-overload]


@contextmanager
def raw_web() -> Iterator[RawWeb]:
    server = RawWeb()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


def bytes_of(data: bytes) -> Play:
    """Sends these bytes and hangs up."""
    return lambda _, connection: connection.sendall(data)


def answer(body: bytes = b"", status: str = "200 OK", **headers: str) -> Play:
    """An orderly answer."""
    given = {"Content-Length": str(len(body)), "Connection": "close"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return bytes_of(f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body)


def endless(head: bytes, piece: bytes) -> Play:
    """A head, and a piece again and again for as long as anybody takes it."""

    def play(web: RawWeb, connection: socket.socket) -> None:
        connection.sendall(head)
        while not web.ended.is_set():
            connection.sendall(piece)

    return play


def drip(head: bytes, seconds: float) -> Play:
    """A head, and a byte from time to time."""

    def play(web: RawWeb, connection: socket.socket) -> None:
        connection.sendall(head)
        while not web.ended.wait(seconds):
            connection.sendall(b"x")

    return play


def reset(head: bytes) -> Play:
    """A head, and the connection is torn down."""

    def play(_: RawWeb, connection: socket.socket) -> None:
        connection.sendall(head)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    return play


def bombs() -> dict[str, bytes]:
    """64 MB in few bytes, by `Content-Encoding`."""
    zipped = gzip.compress(BOMB, 1)
    return {
        "gzip": zipped,
        "x-gzip": zipped,
        "deflate": zlib.compress(BOMB, 1),
        "br": brotli.compress(BOMB, quality=1),
        "zstd": zstd.compress(BOMB),
        "gzip, gzip": gzip.compress(zipped),
        "br, gzip": gzip.compress(brotli.compress(BOMB, quality=1)),
    }
