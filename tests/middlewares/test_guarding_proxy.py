"""The browser's way out, without a browser: 127.0.0.1 plays the inside, 127.0.0.2 the public internet (exempted)."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import Any

import httpx
import pytest
from loopback import Web, web
from middlewares.raw_web import RawWeb, answer, drip, endless, raw_web

from pixcrawler.middlewares import guarding_proxy
from pixcrawler.middlewares.addresses import Guard
from pixcrawler.middlewares.guarding_proxy import GuardingProxy

INSIDE, PUBLIC = "127.0.0.1", "127.0.0.2"
PATIENCE = 10.0  # seconds; what hangs fails its test

# Ways to write an address on this machine, or to reach it by a name; {port} is where the inside listens.
VECTORS = """
    127.0.0.1:{port} 127.1:{port} 2130706433:{port} 0x7f000001:{port} 0177.0.0.1:{port} 0.0.0.0:{port} localhost:{port}
    localhost.:{port} LOCALHOST:{port} [::1]:{port} [::ffff:127.0.0.1]:{port} [64:ff9b::7f00:1]:{port}
    public.test@127.0.0.1:{port} inside.test:{port} mixed.test:{port} mapped.test:{port} 127.0.0.1:22 10.0.0.1:80
    169.254.169.254:80
"""
DNS = {
    "public.test": [PUBLIC],
    "inside.test": [INSIDE],
    "mixed.test": [PUBLIC, INSIDE],
    "mapped.test": ["::ffff:127.0.0.1"],
    "dead.test": [],
    "localhost": [INSIDE],
}


@pytest.fixture(autouse=True)
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that were asked for, in order. Numbers are answered by the system."""
    names: list[str] = []
    system = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *more: Any, **options: Any) -> Any:
        if host not in DNS:
            return system(host, port, *more, **options)
        names.append(host)
        if not DNS[host]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in DNS[host]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return names


@pytest.fixture
def public() -> Iterator[Web]:
    with web(PUBLIC) as server:
        yield server


@pytest.fixture
def raw() -> Iterator[RawWeb]:
    """Where a test decides on every byte; it is on the inside, and exempted by its port."""
    with raw_web() as server:
        yield server


class Opened:
    """A proxy with a page open, and what it has refused."""

    def __init__(self, *allow: str) -> None:
        self.refusals: list[str] = []
        self.proxy = GuardingProxy(Guard(allow), self.refusals.append)
        self.visits: list[Connection] = []
        self.end_page: Callable[[], None]

    @property
    def password(self) -> str:
        return "Basic " + b64encode(f"{self.proxy.username}:{self.proxy.password}".encode()).decode()

    async def visit(self, head: str, *headers: str, password: str | None = None) -> Connection:
        """Sends a request, with the password unless told otherwise."""
        given = self.password if password is None else password
        lines = [head, "Host: whatever", *([f"Proxy-Authorization: {given}"] if given else []), *headers]
        connection = await self.connection()
        await connection.say("\r\n".join([*lines, "", ""]).encode())
        return connection

    async def connection(self) -> Connection:
        connection = Connection(*await asyncio.open_connection(INSIDE, int(self.proxy.url.rpartition(":")[2])))
        self.visits.append(connection)
        return connection


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def all(self) -> bytes:
        """Everything that comes until the other side hangs up."""
        with suppress(ConnectionError):
            return await asyncio.wait_for(self.reader.read(), PATIENCE)
        return b""

    async def line(self) -> bytes:
        with suppress(ConnectionError):
            return await asyncio.wait_for(self.reader.readline(), PATIENCE)
        return b""

    async def tunnelled(self) -> None:
        """Waits until the way is free."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE)
        assert head.startswith(b"HTTP/1.1 200 "), head


@asynccontextmanager
async def opened(*allow: str) -> AsyncIterator[Opened]:
    opened = Opened(*allow)
    await opened.proxy.start()
    try:
        with ExitStack() as stack:
            stack.enter_context(opened.proxy.page())
            opened.end_page = stack.close
            yield opened
    finally:
        await opened.proxy.close()
        for visit in opened.visits:
            visit.writer.close()
            with suppress(ConnectionError):
                await visit.writer.wait_closed()


def status(reply: bytes) -> int:
    return int(reply.split(b" ", 2)[1]) if reply else 0


def test_fetches_what_a_client_of_any_make_asks_for(public: Web) -> None:
    url = public.put("/page?a=1", b"hello", headers={"Set-Cookie": "a=1", "X-Own": "yes"})

    async def main() -> None:
        async with opened(PUBLIC) as proxy:
            account = httpx.Proxy(proxy.proxy.url, auth=(proxy.proxy.username, proxy.proxy.password))
            async with httpx.AsyncClient(proxy=account, trust_env=False) as client:
                reply = await client.get(url)
            assert (reply.status_code, reply.content, reply.headers["X-Own"]) == (200, b"hello", "yes")
            assert proxy.proxy.address_of(PUBLIC) == PUBLIC
            assert not proxy.refusals

    public.answers["/page"] = public.answers["/page?a=1"]
    asyncio.run(main())
    assert public.hits["/page?a=1"] == 1


def test_hands_on_a_body_and_no_secret(raw: RawWeb) -> None:
    url = raw.put("/form", answer(b"thanks"))

    async def main() -> None:
        async with opened(f"{INSIDE}:{raw.server_address[1]}") as proxy:
            visit = await proxy.visit(f"POST {url} HTTP/1.1", "Content-Length: 3", "Proxy-Connection: keep-alive")
            await visit.say(b"a=b")
            assert (await visit.all()).endswith(b"thanks")

    asyncio.run(main())
    (head,) = raw.heads
    assert head.startswith(b"POST /form HTTP/1.1\r\n")
    assert b"proxy-" not in head.lower()
    assert b"connection: close" in head.lower()


@pytest.mark.parametrize("password", ["", "Basic cGl4Y3Jhd2xlcjo=", "Bearer x"])
@pytest.mark.parametrize("request_line", ["GET {url} HTTP/1.1", "CONNECT {host} HTTP/1.1"])
def test_serves_nobody_without_the_password(public: Web, password: str, request_line: str) -> None:
    line = request_line.format(url=public.put("/", b"hello"), host=public.address.removeprefix("http://"))

    async def main() -> None:
        async with opened(PUBLIC) as proxy:
            reply = await (await proxy.visit(line, password=password)).all()
            assert status(reply) == 407
            assert b'Proxy-Authenticate: Basic realm="pixcrawler"' in reply

    asyncio.run(main())
    assert not public.hits


def test_each_process_has_a_password_of_its_own() -> None:
    assert Opened().password != Opened().password


def test_serves_nobody_while_no_page_is_open(public: Web) -> None:
    url = public.put("/", b"hello")

    async def main() -> None:
        async with opened(PUBLIC) as proxy:
            proxy.end_page()
            assert await (await proxy.visit(f"GET {url} HTTP/1.1")).all() == b""

    asyncio.run(main())
    assert not public.hits


@pytest.mark.parametrize("target", VECTORS.split())
def test_reaches_nothing_on_the_inside(target: str) -> None:
    with web(INSIDE) as inside:
        target = target.format(port=inside.server_address[1])

        async def main() -> None:
            async with opened(PUBLIC, "10.9.9.9:8080") as proxy:
                for line in (f"GET http://{target}/ HTTP/1.1", f"CONNECT {target} HTTP/1.1"):
                    assert status(await (await proxy.visit(line)).all()) == 403, line
                assert len(proxy.refusals) == 2

        asyncio.run(main())
        assert not inside.hits


def test_says_why_a_host_is_refused(looked_up: list[str]) -> None:
    async def main() -> None:
        async with opened() as proxy:
            await (await proxy.visit("CONNECT inside.test:443 HTTP/1.1")).all()
            assert proxy.proxy.why_refused("https://inside.test/a") == "inside.test: 127.0.0.1 is not a public address"
            assert proxy.proxy.why_refused("http://inside.test/a") is None

    asyncio.run(main())
    assert looked_up == ["inside.test"]


def test_connects_to_what_was_judged_whatever_dns_says_next(
    public: Web, looked_up: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is public when it is judged, and on the inside whenever it is looked up again."""
    port = public.server_address[1]
    public.put("/", b"public")
    answers = iter([[PUBLIC]])
    monkeypatch.setitem(DNS, "rebinding.test", [PUBLIC])
    scripted = socket.getaddrinfo

    def getaddrinfo(host: Any, *more: Any, **options: Any) -> Any:
        if host == "rebinding.test":
            DNS[host] = next(answers, [INSIDE])
        return scripted(host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    async def main() -> None:
        async with opened(PUBLIC, f"10.9.9.9:{port}") as proxy:
            reply = await (await proxy.visit(f"GET http://rebinding.test:{port}/ HTTP/1.1")).all()
            assert reply.endswith(b"public")
            assert proxy.proxy.address_of("rebinding.test") == PUBLIC

    asyncio.run(main())
    assert looked_up == ["rebinding.test"]


def test_tells_of_a_host_that_is_not_there(public: Web) -> None:
    port = public.server_address[1]

    async def main() -> None:
        async with opened(PUBLIC, f"10.9.9.9:{port}", f"{PUBLIC}:1") as proxy:
            for target in (f"dead.test:{port}", f"{PUBLIC}:1"):
                assert status(await (await proxy.visit(f"CONNECT {target} HTTP/1.1")).all()) == 502
            assert not proxy.refusals

    asyncio.run(main())


def test_a_tunnel_carries_what_it_likes(raw: RawWeb) -> None:
    raw.put("/deep", answer(b"from the other end"))
    target = f"{INSIDE}:{raw.server_address[1]}"

    async def main() -> None:
        async with opened(target) as proxy:
            visit = await proxy.visit(f"CONNECT {target} HTTP/1.1")
            await visit.tunnelled()
            await visit.say(b"GET /deep HTTP/1.1\r\n")
            await visit.say(b"Host: x\r\n\r\n")
            assert (await visit.all()).endswith(b"from the other end")

    asyncio.run(main())


def test_one_connection_asks_one_server(public: Web) -> None:
    """A second request might be for somebody else: nothing of it may arrive at the first one's server."""
    url = public.put("/first", b"one")
    public.put("/second", b"two")

    async def main() -> None:
        async with opened(PUBLIC) as proxy:
            visit = await proxy.visit(f"GET {url} HTTP/1.1", "Connection: keep-alive")
            await visit.say(f"GET {public.address}/second HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            reply = await visit.all()
            assert b"one" in reply
            assert b"connection: close" in reply.lower()

    asyncio.run(main())
    assert dict(public.hits) == {"/first": 1}


def test_the_end_of_the_last_page_ends_its_tunnels(raw: RawWeb) -> None:
    raw.put("/greeting", lambda server, connection: connection.sendall(b"hello\n") or (server.ended.wait(30) and None))
    target = f"{INSIDE}:{raw.server_address[1]}"

    async def main() -> None:
        async with opened(target) as proxy:
            visit = await proxy.visit(f"CONNECT {target} HTTP/1.1")
            await visit.tunnelled()
            with proxy.proxy.page():
                pass  # another page's end is no matter
            await visit.say(b"GET /greeting HTTP/1.1\r\n\r\n")
            assert await visit.line() == b"hello\n"
            proxy.end_page()
            assert await visit.all() == b""

    asyncio.run(main())


@pytest.mark.parametrize("tunnel", [True, False])
def test_a_page_has_only_so_many_bytes(raw: RawWeb, monkeypatch: pytest.MonkeyPatch, tunnel: bool) -> None:
    monkeypatch.setattr(guarding_proxy, "PAGE_BYTES", 300_000)
    url = raw.put("/flood", endless(b"HTTP/1.1 200 OK\r\n\r\n", bytes(10_000)))
    target = f"{INSIDE}:{raw.server_address[1]}"

    async def main() -> int:
        async with opened(target) as proxy:
            visit = await proxy.visit(f"CONNECT {target} HTTP/1.1" if tunnel else f"GET {url} HTTP/1.1")
            if tunnel:
                await visit.tunnelled()
                await visit.say(b"GET /flood HTTP/1.1\r\n\r\n")
            return len(await visit.all())

    assert 100_000 < asyncio.run(main()) < 310_000


def test_who_says_nothing_is_not_waited_for(raw: RawWeb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarding_proxy, "IDLE", 0.3)
    url = raw.put("/silent", lambda server, _: server.ended.wait(30) and None)
    raw.put("/slow", drip(b"HTTP/1.1 200 OK\r\n\r\n", 0.1))
    target = f"{INSIDE}:{raw.server_address[1]}"

    async def main() -> None:
        async with opened(target) as proxy:
            assert await (await proxy.visit(f"GET {url} HTTP/1.1")).all() == b""
            assert await (await proxy.connection()).all() == b""
            slow = await proxy.visit(f"CONNECT {target} HTTP/1.1")
            await slow.tunnelled()
            await slow.say(b"GET /slow HTTP/1.1\r\n\r\n")
            await slow.line()
            assert await asyncio.wait_for(slow.reader.readexactly(12), PATIENCE)  # longer than the patience in all

    asyncio.run(main())


def test_only_so_many_connections_at_once(raw: RawWeb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarding_proxy, "CONNECTIONS", 3)
    target = f"{INSIDE}:{raw.server_address[1]}"

    async def main() -> None:
        async with opened(target) as proxy:
            visits = [await proxy.visit(f"CONNECT {target} HTTP/1.1") for _ in range(3)]
            for visit in visits:
                await visit.tunnelled()
            assert await (await proxy.visit(f"CONNECT {target} HTTP/1.1")).all() == b""
            visits[0].writer.close()
            await until_served(proxy, target)

    asyncio.run(main())


async def until_served(proxy: Opened, target: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not (await (await proxy.visit(f"CONNECT {target} HTTP/1.1")).line()).startswith(b"HTTP/1.1 200"):
        assert time.monotonic() < deadline


@pytest.mark.parametrize(
    "head",
    [
        "GET / HTTP/1.1",
        "GET https://127.0.0.2/ HTTP/1.1",
        "GET ftp://127.0.0.2/ HTTP/1.1",
        "CONNECT http://127.0.0.2/ HTTP/1.1",
        "CONNECT 127.0.0.2:port HTTP/1.1",
        "CONNECT 127.0.0.2:99999 HTTP/1.1",
        "CONNECT [::1 HTTP/1.1",
        "CONNECT \xe9:80 HTTP/1.1",
        "nonsense",
        "GET http://127.0.0.2/ HTTP/1.1\r\nX: " + 200_000 * "x",
    ],
)
def test_a_question_that_is_none_is_not_answered(head: str, public: Web) -> None:
    async def main() -> None:
        async with opened(PUBLIC) as proxy:
            reply = await (await proxy.visit(head)).all()
            assert not reply or re.match(rb"HTTP/1.1 40[03] ", reply)

    asyncio.run(main())
    assert not public.hits


@pytest.mark.parametrize("reply", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + 200_000 * b"x"])
def test_an_answer_that_is_none_is_not_handed_on(raw: RawWeb, reply: bytes) -> None:
    url = raw.put("/odd", lambda _, connection: connection.sendall(reply))

    async def main() -> None:
        async with opened(f"{INSIDE}:{raw.server_address[1]}") as proxy:
            assert await (await proxy.visit(f"GET {url} HTTP/1.1")).all() == b""

    asyncio.run(main())
