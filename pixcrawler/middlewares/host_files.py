"""The files in which a host says what it reserves: asked for once, all at the same time, and remembered."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol
from urllib.parse import urljoin, urlsplit, urlunsplit

from scrapy.http import Request, Response

from pixcrawler.failures import reason_of
from pixcrawler.items import canonical_url
from pixcrawler.jobs import Reason
from pixcrawler.opt_outs import Denial, Kind
from pixcrawler.opt_outs.ai_txt import AiTxt
from pixcrawler.opt_outs.robots_txt import RobotsTxt
from pixcrawler.opt_outs.tdmrep import Tdmrep

PATHS = ("robots.txt", ".well-known/tdmrep.json", "ai.txt")
RECEIVED = "opt_out_bytes"  # in a request's meta: how much of the file has come; marks these requests

PATIENCE = 5.0  # seconds for a file with its redirects; its host's pictures wait for it, others do not
REDIRECTS = 5  # RFC 9309 §2.3.1.2 wants no less; for a file behind more there is none
FRESH = 24 * 3600.0  # seconds; RFC 9309 §2.4 wants no more
AGAIN = 60.0  # seconds until a host that could not be asked is asked again
HOSTS = 1_000  # remembered at most
BYTES = 2 * 2**20  # of files remembered at most; parsed they take some twenty times as much


class Rules(Protocol):
    """What one file says."""

    def denial(self, url: str, kind: Kind) -> Denial | None:
        """Why the address must not be fetched; None: this file does not mind."""


@dataclass(frozen=True)
class Unknown:
    """The rules of a host that cannot be asked. RFC 9309 §2.3.1.4: until it can, nothing is fetched from it."""

    why: Denial

    def denial(self, url: str, kind: Kind) -> Denial | None:
        return self.why


@dataclass(frozen=True)
class HostRules:
    """What the files of a host say, together."""

    files: tuple[Rules, ...]
    size: int  # bytes of the files
    stale: float  # when to ask again, by the loop's clock

    def denial(self, url: str, kind: Kind) -> Denial | None:
        """Why the address must not be fetched, by the first file that minds."""
        return next((denial for rules in self.files if (denial := rules.denial(url, kind))), None)


class HostFiles:
    """Knows the rules of the hosts used last. `download` sends a request past the queue of pages."""

    def __init__(self, download: Callable[[Request], Awaitable[Response]], agent: str) -> None:
        self._download = download
        self._agent = agent
        self._hosts: OrderedDict[str, asyncio.Task[HostRules]] = OrderedDict()  # by scheme, name and port

    async def rules_for(self, url: str) -> HostRules:
        """The rules of the host of an address. All that ask at once wait for the same answers."""
        parts = urlsplit(url)
        host = _root(parts.scheme, parts.netloc)
        task = self._hosts.get(host)
        if task is None or (task.done() and task.result().stale < _now()):
            task = self._hosts[host] = asyncio.create_task(self._ask(host))
        self._hosts.move_to_end(host)
        return await asyncio.shield(task)  # who waits may be cancelled; the others wait on

    async def _ask(self, host: str) -> HostRules:
        robots, tdmrep, ai = await asyncio.gather(*(self._read(host + path) for path in PATHS))
        if isinstance(robots, Denial):
            return HostRules((Unknown(robots),), 0, _now() + AGAIN)
        # Both specifications take a file that cannot be had for none.
        tdmrep, ai = (b"" if isinstance(body, Denial) else body for body in (tdmrep, ai))
        size = len(robots) + len(tdmrep) + len(ai)
        self._make_room(size)
        files: list[Rules] = []  # most hosts have none, and an empty one minds nothing
        files += [RobotsTxt(robots, self._agent)] if robots else []
        files += [Tdmrep(tdmrep)] if tdmrep else []
        files += [AiTxt(ai, self._agent)] if ai else []
        return HostRules(tuple(files), size, _now() + FRESH)

    async def _read(self, url: str) -> bytes | Denial:
        """The file, empty if the host has none; or why it cannot be known whether it has."""
        deadline = _now() + PATIENCE
        address = url
        for _ in range(1 + REDIRECTS):
            try:
                response = await self._download(_request(address, deadline - _now()))
                location = response.headers.get("Location") if 300 <= response.status < 400 else None
                if location is None:
                    return _content(response)
                address = urljoin(address, location.decode("latin-1"))
            except Exception as error:
                return Denial(reason_of(error), f"{url}: {type(error).__name__}: {error}")
        return b""

    def _make_room(self, size: int) -> None:
        """Forgets the hosts used longest ago."""
        while self._hosts and (len(self._hosts) > HOSTS or self._size() + size > BYTES):
            self._hosts.popitem(last=False)

    def _size(self) -> int:
        return sum(task.result().size for task in self._hosts.values() if task.done())


@lru_cache(HOSTS)
def _root(scheme: str, netloc: str) -> str:
    return canonical_url(urlunsplit((scheme, netloc, "/", "", "")))


def _request(url: str, seconds: float) -> Request:
    meta = {
        RECEIVED: 0,
        "download_timeout": max(seconds, 0.1),
        "max_retry_times": 0,  # a host that is slow would be waited for twice
        "dont_merge_cookies": True,
        "dont_redirect": True,  # followed here: further than pictures are
    }
    # Not compressed: what is cut at `LIMIT` could not be unpacked.
    return Request(url, headers={"Accept": "*/*", "Accept-Encoding": "identity"}, meta=meta)


def _content(response: Response) -> bytes | Denial:
    if 200 <= response.status < 300:
        return response.body
    if response.status == 429 or response.status >= 500:  # 429 says "later", not "there is none"
        return Denial(Reason.SERVER_ERROR, f"{response.url} answers {response.status}")
    return b""


def _now() -> float:
    return asyncio.get_running_loop().time()
