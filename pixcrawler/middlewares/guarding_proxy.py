"""The browser's only way out: an HTTP proxy inside the crawl process, which judges as the firewall does.

A browser that goes through a proxy looks up no names and connects to nobody else. Here each host it asks for is judged
by its URL, then by all the addresses of its name, and connected to at one of these: nothing is looked up twice.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import secrets
import socket
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import h11
from scrapy.utils.datatypes import LocalCache

from pixcrawler.items import DEFAULT_PORTS
from pixcrawler.middlewares.addresses import Guard, plain_host

logger = logging.getLogger(__name__)

CONNECTIONS = 128  # at once; Chromium opens 32 for each context
LONGEST_HEAD = 2**16  # bytes of a request's or an answer's first line and headers
PIECE = 2**16  # bytes read at once
IDLE = 30.0  # seconds in which nothing moves in either direction
CONNECT_SECONDS = 10.0  # for each address
PAGE_BYTES = 64 * 2**20  # that a page may fetch and send; without its pictures few need a tenth
REMEMBERED = 1_000  # hosts; who asks for one of them asks at once

# RFC 9110 §7.6.1: these are about one connection, and the browser's is not the server's.
HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"proxy-authorization", b"te", b"trailer", b"upgrade"}
)
AUTHORITY = re.compile(r"[^/?#\s]+:\d+")  # a host and a port
Headers = list[tuple[bytes, bytes]]


class _Told(Exception):
    """Raised to answer the browser instead of the server it wants."""

    def __init__(self, status: int, text: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers


class _Ended(Exception):
    """Raised when a side has hung up, or the page has had its bytes."""


class GuardingProxy:
    """Listens on a free port of 127.0.0.1 and serves who knows its password, while a page is open.

    `refused` hears of every host that must not be reached.
    """

    username = "pixcrawler"

    def __init__(self, guard: Guard, refused: Callable[[str], None]) -> None:
        self.password = secrets.token_urlsafe(32)
        self._guard = guard
        self._refused = refused
        self._server: asyncio.Server | None = None
        self._visits: set[asyncio.Task[None]] = set()
        self._pages = 0  # open
        self._bytes_left = 0
        self._addresses: LocalCache[str, str] = LocalCache(REMEMBERED)
        self._refusals: LocalCache[tuple[str, int], str] = LocalCache(REMEMBERED)

    async def start(self) -> None:
        """Begins to listen."""
        self._server = await asyncio.start_server(self._visited, "127.0.0.1", 0)

    async def close(self) -> None:
        """Listens no longer, and hangs up on everybody."""
        if self._server is not None:
            self._server.close()
        self._hang_up()
        await asyncio.gather(*self._visits, return_exceptions=True)

    @property
    def url(self) -> str:
        """Where it listens, without the password."""
        assert self._server is not None
        return "http://{}:{}".format(*self._server.sockets[0].getsockname()[:2])

    @contextmanager
    def page(self) -> Iterator[None]:
        """Lets the browser fetch for one page more. When none is open it reaches nobody."""
        self._pages += 1
        self._bytes_left += PAGE_BYTES
        try:
            yield
        finally:
            self._pages -= 1
            if not self._pages:
                self._bytes_left = 0
                self._hang_up()

    def address_of(self, host: str) -> str | None:
        """The address that a host was last connected to at."""
        return self._addresses.get(host)

    def why_refused(self, url: str) -> str | None:
        """The verdict on host and port of a URL when they were last asked for; None: they were not refused."""
        return self._refusals.get(_endpoint(url))

    def _hang_up(self) -> None:
        for visit in self._visits:
            visit.cancel()

    async def _visited(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._visits.add(task)
        try:
            if len(self._visits) <= CONNECTIONS:
                await _Visit(self, reader, writer).go()
        except asyncio.CancelledError:
            pass  # by us; asyncio's streams would log it
        finally:
            self._visits.discard(task)
            writer.close()

    def spend(self, number: int) -> None:
        """Books bytes that have moved. Raises `_Ended` when the open pages have had theirs, or none is open."""
        self._bytes_left -= number
        if self._bytes_left < 0:
            raise _Ended("the page has fetched too much")

    def admit(self, headers: Headers) -> None:
        """Raises `_Told` for who does not know the password."""
        known = b"Basic " + b64encode(f"{self.username}:{self.password}".encode())
        given = next((value for name, value in headers if name == b"proxy-authorization"), b"")
        if not hmac.compare_digest(given, known):
            raise _Told(407, "who are you?", (b"Proxy-Authenticate", b'Basic realm="pixcrawler"'))

    async def connected(self, url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the host of a URL. Raises `_Told` if it must not be reached, or cannot be."""
        if why := self._guard.refusal(url):
            raise self._refusal(url, why)
        host, port = _endpoint(url)
        addresses = await _addresses(host, port)
        if why := self._guard.refusal_of_answer(host, port, addresses):
            raise self._refusal(url, why)
        for address in addresses:
            with suppress(OSError, TimeoutError):
                connection = await asyncio.wait_for(asyncio.open_connection(address, port), CONNECT_SECONDS)
                self._addresses[host] = address
                self._refusals.pop((host, port), None)
                return connection
        raise _Told(502, "cannot be reached")

    def _refusal(self, url: str, why: str) -> _Told:
        with suppress(ValueError):
            self._refusals[_endpoint(url)] = why
        self._refused(why)
        logger.debug("Refused the browser %s: %s", url, why)
        return _Told(403, why)


def _endpoint(url: str) -> tuple[str, int]:
    """Host and port. Raises `ValueError` for what is no URL."""
    parts = urlsplit(url)
    return plain_host(parts.hostname or ""), DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port


async def _addresses(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        raise _Told(502, "no such host") from None
    return [str(address[0]) for *_, address in found]


class _Side:
    """One of the two ends of a visit: a connection, and how far its HTTP has come."""

    def __init__(
        self, role: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, moved: Callable[[int], None]
    ) -> None:
        self.http = h11.Connection(role, max_incomplete_event_size=LONGEST_HEAD)
        self._reader = reader
        self._writer = writer
        self._moved = moved

    async def read(self) -> bytes:
        """What comes next; nothing once the other side has hung up."""
        data = await self._reader.read(PIECE)
        self._moved(len(data))
        return data

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()
        self._moved(0)  # counted when it was read

    async def hear(self) -> Any:
        """The next event of HTTP. Raises `_Ended` when there is none."""
        while (event := self.http.next_event()) is h11.NEED_DATA:
            self.http.receive_data(await self.read())
        if isinstance(event, h11.ConnectionClosed):
            raise _Ended("hung up")
        return event

    async def say(self, event: Any) -> None:
        await self.write(self.http.send(event) or b"")

    async def pass_body_on(self, other: _Side) -> None:
        """Hands on what belongs to the message that has begun."""
        event: Any = None
        while not isinstance(event, h11.EndOfMessage):
            event = await self.hear()
            await other.say(event)

    async def pour_into(self, other: _Side) -> None:
        """Hands on whatever comes, until nothing more does."""
        data = self.http.trailing_data[0]
        while data := data or await self.read():
            await other.write(data)
            data = b""


class _Visit:
    """One connection of the browser: one request, or one tunnel."""

    def __init__(self, proxy: GuardingProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._browser = _Side(h11.SERVER, reader, writer, self._moved)
        self._patience = asyncio.timeout(IDLE)

    def _moved(self, number: int) -> None:
        self._patience.reschedule(asyncio.get_running_loop().time() + IDLE)
        self._proxy.spend(number)

    async def go(self) -> None:
        with suppress(_Ended, OSError, TimeoutError, h11.ProtocolError):
            async with self._patience:
                try:
                    await self._serve(await self._browser.hear())
                except _Told as told:
                    await self._tell(told)

    async def _serve(self, request: h11.Request) -> None:
        self._proxy.admit(list(request.headers))
        target = request.target.decode("latin-1")
        tunnel = request.method == b"CONNECT"
        if not (AUTHORITY.fullmatch(target) if tunnel else target.startswith("http://")):
            raise _Told(400, "this is a proxy")
        if tunnel:
            await self._with_server(f"https://{target}/", self._tunnel)
        else:
            await self._with_server(target, lambda server: self._fetch(request, server))

    async def _with_server(self, url: str, work: Callable[[_Side], Awaitable[None]]) -> None:
        reader, writer = await self._proxy.connected(url)
        try:
            await work(_Side(h11.CLIENT, reader, writer, self._moved))
        finally:
            writer.close()

    async def _tunnel(self, server: _Side) -> None:
        """Lets both sides talk until one of them hangs up."""
        await self._browser.hear()  # the end of the request: what follows is the server's
        await self._browser.say(h11.Response(status_code=200, headers=[], reason=b"Connected"))
        pours = (self._browser.pour_into(server), server.pour_into(self._browser))
        directions = [asyncio.ensure_future(pour) for pour in pours]
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for direction in directions:
                direction.cancel()
            await asyncio.gather(*directions, return_exceptions=True)

    async def _fetch(self, request: h11.Request, server: _Side) -> None:
        """Asks for one thing and hands it on. The next one may be another server's, so it needs another visit."""
        parts = urlsplit(request.target.decode("latin-1"))
        path = urlunsplit(("", "", parts.path or "/", parts.query, ""))
        headers = _for_one_exchange(request.headers.raw_items())
        await server.say(h11.Request(method=request.method, target=path, headers=headers))
        await self._browser.pass_body_on(server)
        answer = await server.hear()
        while isinstance(answer, h11.InformationalResponse):
            answer = await server.hear()
        await self._browser.say(
            h11.Response(
                status_code=answer.status_code,
                headers=_for_one_exchange(answer.headers.raw_items()),
                reason=answer.reason,
            )
        )
        await server.pass_body_on(self._browser)

    async def _tell(self, told: _Told) -> None:
        """Answers in the server's place, if nothing has been answered yet."""
        if self._browser.http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        text = str(told).encode()
        headers = [(b"Content-Type", b"text/plain"), (b"Content-Length", b"%d" % len(text)), *told.headers]
        await self._browser.say(h11.Response(status_code=told.status, headers=[*headers, (b"Connection", b"close")]))
        await self._browser.say(h11.Data(data=text))
        await self._browser.say(h11.EndOfMessage())


def _for_one_exchange(headers: Headers) -> Headers:
    return [pair for pair in headers if pair[0].lower() not in HOP_BY_HOP] + [(b"Connection", b"close")]
