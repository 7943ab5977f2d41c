"""Keeps every request on the public internet: the URL is checked first, then every address DNS gives for its name.

`connections` opens sockets only to addresses that `GuardedResolver` handed on or that are allowed by themselves, so
nothing is left to check between look-up and connection: not after a redirect, not when DNS changes its mind. The
address of every answer is checked again all the same, and handlers that would do their own look-ups are not tolerated.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.exceptions import CannotResolveHostError, IgnoreRequest
from scrapy.http import Response
from scrapy.utils.datatypes import LocalCache
from scrapy.utils.misc import load_object
from twisted.internet.interfaces import IAddress, IHostnameResolver, IResolutionReceiver
from zope.interface import implementer

from pixcrawler.config import config
from pixcrawler.crawling import LOCAL, leave
from pixcrawler.errors import UsageError
from pixcrawler.items import DEFAULT_PORTS
from pixcrawler.jobs import Reason
from pixcrawler.middlewares.addresses import Guard
from pixcrawler.middlewares.fence import FencedDownloadHandler

logger = logging.getLogger(__name__)

REMEMBERED_REFUSALS = 10_000  # read back by the request that asked, at once; the bound is against hostile lists


class Refused(IgnoreRequest):
    """Raised for a request that must not leave; its message says why."""

    reason = Reason.FIREWALL


class FirewallMiddleware:
    """Refuses requests by their URL, and names what the resolver refused so that it is not tried again."""

    def __init__(self, crawler: Crawler, guard: Guard) -> None:
        self.crawler = crawler
        self.guard = guard

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> FirewallMiddleware:
        _check_handlers(crawler)
        guard = _configured_guard()
        if allow_hosts := config().allow_hosts:
            logger.warning("Not only the public internet may be fetched, but also: %s", ", ".join(allow_hosts))
        return cls(crawler, guard)

    def process_request(self, request: Request) -> None:
        if why := self._refusal(request):
            self._refuse(request, why)

    def process_response(self, request: Request, response: Response) -> Response:
        """The second line: refuses what came from where nobody should have been connected to."""
        if why := self._refusal_of_response(request, response):
            self._refuse(request, why)
        return response

    def process_exception(self, request: Request, exception: Exception) -> None:
        if not isinstance(exception, CannotResolveHostError):
            return
        resolver = _installed_resolver()
        if resolver and (why := resolver.why_refused(*_endpoint(request.url))):
            self._refuse(request, why)

    def _refusal(self, request: Request) -> str | None:
        if request.meta.get("proxy"):
            return "a proxy would look up names by itself"
        if _installed_resolver() is None:
            return "TWISTED_DNS_RESOLVER is not the guarded one"
        return self.guard.refusal(request.url)

    def _refusal_of_response(self, request: Request, response: Response) -> str | None:
        if request.meta.get(LOCAL):
            return None
        if response.ip_address is None:
            return "nobody knows from which address it came" if response.body else None
        host, port = _endpoint(request.url)
        return self.guard.refusal_of_answer(host, port, [str(response.ip_address)])

    def _refuse(self, request: Request, why: str) -> None:
        assert self.crawler.stats is not None
        self.crawler.stats.inc_value("firewall/refused")
        logger.debug("Refused %s: %s", request, why)
        raise Refused(why)


# Zope's interfaces declare methods without `self`, which no type checker follows: hence Any for their providers.
@implementer(IHostnameResolver)
class GuardedResolver:
    """Hands on the addresses of a name only if every one of them is allowed; remembers no addresses."""

    def __init__(self, reactor: Any, guard: Guard) -> None:
        self.reactor = reactor
        self.guard = guard
        self.upstream: Any = reactor.nameResolver
        self.refused: LocalCache[tuple[str, int], str] = LocalCache(REMEMBERED_REFUSALS)

    @classmethod
    def from_crawler(cls, crawler: Any, reactor: Any) -> GuardedResolver:
        return cls(reactor, _configured_guard())

    def install_on_reactor(self) -> None:
        self.reactor.installNameResolver(self)

    def resolveHostName(  # noqa: N802  Twisted's name
        self,
        resolutionReceiver: Any,  # noqa: N803
        hostName: str,  # noqa: N803
        portNumber: int = 0,  # noqa: N803
        addressTypes: Sequence[type[IAddress]] | None = None,  # noqa: N803
        transportSemantics: str = "TCP",  # noqa: N803
    ) -> Any:
        judge = _Judge(self, resolutionReceiver, hostName, portNumber)
        return self.upstream.resolveHostName(judge, hostName, portNumber, addressTypes, transportSemantics)

    def admits(self, host: str, port: int, addresses: Sequence[str]) -> bool:
        """Judges the answer of a look-up and remembers why it was refused."""
        why = self.guard.refusal_of_answer(host, port, addresses)
        self.refused.pop((host.lower(), port), None)
        if why:
            self.refused[host.lower(), port] = why
        return why is None

    def why_refused(self, host: str, port: int) -> str | None:
        """The verdict on the last look-up of the name; None: it was not refused."""
        return self.refused.get((host.lower(), port))


@implementer(IResolutionReceiver)
class _Judge:
    """Holds the addresses of a look-up back until all have come. Twisted fails a name that has none."""

    def __init__(self, resolver: GuardedResolver, receiver: Any, host: str, port: int) -> None:
        self.resolver = resolver
        self.receiver = receiver
        self.host = host
        self.port = port
        self.addresses: list[Any] = []

    def resolutionBegan(self, resolutionInProgress: Any) -> None:  # noqa: N802, N803
        self.receiver.resolutionBegan(resolutionInProgress)

    def addressResolved(self, address: Any) -> None:  # noqa: N802
        self.addresses.append(address)

    def resolutionComplete(self) -> None:  # noqa: N802
        if self.resolver.admits(self.host, self.port, [address.host for address in self.addresses]):
            for address in self.addresses:
                self.receiver.addressResolved(address)
        self.receiver.resolutionComplete()


def _check_handlers(crawler: Crawler) -> None:
    """Ends the process if anything but our handler would fetch: others, browsers too, look names up by themselves."""
    for scheme, handler in crawler.settings.getwithbase("DOWNLOAD_HANDLERS").items():
        if handler is not None and not issubclass(load_object(handler), FencedDownloadHandler):
            leave(UsageError(f"DOWNLOAD_HANDLERS: the firewall does not cover {handler} ({scheme})"))


def _configured_guard() -> Guard:
    try:
        return Guard(config().allow_hosts)
    except UsageError as error:
        leave(error)


def _installed_resolver() -> GuardedResolver | None:
    from twisted.internet import reactor  # at the first request: importing it earlier would choose the reactor

    resolver = reactor.nameResolver
    return resolver if isinstance(resolver, GuardedResolver) else None


def _endpoint(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
