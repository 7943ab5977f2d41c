"""Connections of the crawl: only to addresses that the guarded resolver has handed on, or that are allowed themselves.

aiohttp does no look-ups of its own here, and asks for a socket for every address before it connects.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from ipaddress import ip_address
from typing import Any

from aiohttp import ClientPayloadError, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from scrapy.utils.datatypes import LocalCache
from twisted.internet.interfaces import IResolutionReceiver
from zope.interface import implementer

from pixcrawler.config import config
from pixcrawler.middlewares.addresses import Guard

IDLE_SECONDS = 60.0  # that a connection is kept; what servers close sooner is connected to anew
MOST_INTERIM = 16  # answers such as 103 before the one that counts; the lengths of headers aiohttp bounds itself
REMEMBERED = 10_000  # addresses; whoever was handed one connects to it at once


class Connections(TCPConnector):
    """No limits: how many requests go to a host at once is decided before."""

    def __init__(self) -> None:
        lookups = Lookups()
        super().__init__(
            resolver=lookups,
            socket_factory=lookups.socket_for,
            use_dns_cache=False,  # what was handed on is good for one connection
            limit=0,
            keepalive_timeout=IDLE_SECONDS,
        )
        self._factory: Callable[[], _Protocol] = partial(_Protocol, asyncio.get_running_loop())  # type: ignore[assignment]


class Lookups(AbstractResolver):
    """Asks the reactor's resolver, without which `firewall` lets no request through."""

    def __init__(self) -> None:
        self._guard = Guard(config().allow_hosts)
        self._handed_on: LocalCache[tuple[str, int], bool] = LocalCache(REMEMBERED)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a name. Raises `OSError` if there are none, or if one of them is not allowed."""
        from twisted.internet import reactor  # importing it earlier would choose the reactor

        receiver = _Receiver()
        resolver: Any = reactor
        resolver.nameResolver.resolveHostName(receiver, host, port)
        addresses = await receiver.complete
        if not addresses:
            raise OSError(f"{host} has no address")
        for address in addresses:
            self._handed_on[address, port] = True
        return [_result(host, port, address) for address in addresses]

    async def close(self) -> None:
        """Nothing is open."""

    def socket_for(self, address: Any) -> socket.socket:
        """The socket for one of getaddrinfo's tuples. Raises `OSError` for an address that nobody has judged."""
        family, kind, protocol, _, (host, port, *_) = address
        if (host, port) not in self._handed_on and (why := self._guard.refusal_of_address(ip_address(host), port)):
            raise OSError(why)
        return socket.socket(family, kind, protocol)


def _result(host: str, port: int, address: str) -> ResolveResult:
    return {
        "hostname": host,
        "host": address,
        "port": port,
        "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
        "proto": socket.IPPROTO_TCP,
        "flags": socket.AI_NUMERICHOST,
    }


@implementer(IResolutionReceiver)
class _Receiver:
    """Gathers the addresses of a look-up."""

    def __init__(self) -> None:
        self.complete: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        self._addresses: list[str] = []

    def resolutionBegan(self, resolutionInProgress: Any) -> None:  # noqa: N802, N803  Twisted's names
        pass

    def addressResolved(self, address: Any) -> None:  # noqa: N802
        self._addresses.append(address.host)

    def resolutionComplete(self) -> None:  # noqa: N802
        if not self.complete.done():
            self.complete.set_result(self._addresses)


class _Protocol(ResponseHandler):
    """Ends a connection whose interim answers have no end."""

    interim = 0  # in a row

    def feed_data(self, data: Any, size: int = 0) -> None:
        message, _ = data
        self.interim = self.interim + 1 if message.code < 200 else 0
        if self.interim > MOST_INTERIM:
            self.set_exception(ClientPayloadError("interim answers without end"))
            self.close()
        else:
            super().feed_data(data, size)
