"""Fetches URLs with Scrapy behind the firewall; run as a script by test_firewall.py.

In: {"urls": […], "dns": {name: [[address, …] per look-up, …]}, "settings": {…}, "careless": false} on stdin. The last
answer of a name repeats; names that are not listed go to the system; a careless resolver hands on what it gets.
Out: {"outcomes": [[url, outcome], …], "stats": {…}} on stdout, in order.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import scrapy
from scrapy.crawler import AsyncCrawlerProcess
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IHostnameResolver
from zope.interface import implementer

from pixcrawler.middlewares.fence import FencedDownloadHandler
from pixcrawler.middlewares.firewall import GuardedResolver

ORDER = json.load(sys.stdin)
OUTCOMES: list[tuple[str, dict[str, Any]]] = []


@implementer(IHostnameResolver)
class ScriptedResolver:
    """The DNS of an attacker, who answers as he likes each time."""

    def __init__(self, system: Any) -> None:
        self.system = system

    def resolveHostName(self, receiver: Any, name: str, port: int = 0, *more: Any) -> Any:  # noqa: N802
        if name not in ORDER["dns"]:
            return self.system.resolveHostName(receiver, name, port, *more)
        answers = ORDER["dns"][name]
        receiver.resolutionBegan(None)
        for address in answers.pop(0) if len(answers) > 1 else answers[0]:
            kind = IPv6Address if ":" in address else IPv4Address
            receiver.addressResolved(kind("TCP", address, port))
        receiver.resolutionComplete()
        return None


class Resolver(GuardedResolver):
    def __init__(self, reactor: Any, guard: Any) -> None:
        super().__init__(reactor, guard)
        self.upstream = ScriptedResolver(self.upstream)


class Careless(Resolver):
    """Lets everything pass, as one with a hole would."""

    def admits(self, host: str, port: int, addresses: Any) -> bool:
        return True


class Fetcher(scrapy.Spider):
    name = "fetcher"

    async def start(self) -> AsyncIterator[scrapy.Request]:
        for number, (url, meta) in enumerate(ORDER["urls"]):
            try:
                request = scrapy.Request(
                    url, self.fetched, errback=self.failed, dont_filter=True, meta=meta, priority=-10 * number
                )
            except ValueError as error:
                OUTCOMES.append((url, {"error": type(error).__name__}))
            else:
                request.meta["asked"] = url
                yield request

    def fetched(self, response: Any) -> None:
        OUTCOMES.append((response.meta["asked"], {"status": response.status, "from": str(response.ip_address)}))

    def failed(self, failure: Any) -> None:
        outcome = {"error": type(failure.value).__name__, "message": str(failure.value)}
        if reason := getattr(failure.value, "reason", None):
            outcome["reason"] = str(reason)
        OUTCOMES.append((failure.request.meta["asked"], outcome))


if __name__ == "__main__":
    settings = {
        "TWISTED_DNS_RESOLVER": Careless if ORDER["careless"] else Resolver,
        "REDIRECT_MAX_TIMES": 4,
        "DOWNLOADER_MIDDLEWARES": {"pixcrawler.middlewares.firewall.FirewallMiddleware": 800},
        "DOWNLOAD_HANDLERS": dict.fromkeys(("http", "https"), FencedDownloadHandler)
        | dict.fromkeys(("file", "ftp", "s3", "data")),
        "HTTPPROXY_ENABLED": False,  # proxies of the environment are none of ours
        "CONCURRENT_REQUESTS": 1,  # look-ups in the order of the URLs
        "DOWNLOAD_TIMEOUT": 10,
        "RETRY_TIMES": 1,
        "TELNETCONSOLE_ENABLED": False,
        "REMOTE_CONTROL_ENABLED": False,
        "LOG_LEVEL": "WARNING",
    }
    process = AsyncCrawlerProcess(settings | ORDER["settings"])
    crawler = process.create_crawler(Fetcher)
    process.crawl(crawler)
    process.start()
    assert crawler.stats is not None
    print(json.dumps({"outcomes": OUTCOMES, "stats": crawler.stats.get_stats()}, default=str))
