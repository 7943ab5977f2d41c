"""The last look before a connection: not too many to a host, none too early, and none once the crawl is over."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any
from weakref import WeakValueDictionary

from scrapy.core.downloader.handlers import http11
from scrapy.core.downloader.handlers.http11 import (
    HTTP11DownloadHandler,
    _LenientHTTP11ClientFactory,
    _LenientHTTP11ClientProtocol,
    _LenientHTTPClientParser,
)
from scrapy.crawler import Crawler
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Request, Response
from twisted.internet.defer import Deferred
from twisted.web._newclient import ParseError

from pixcrawler.base_spiders import ImageSpider
from pixcrawler.crawling import BREAK_OFF
from pixcrawler.items import host_of
from pixcrawler.jobs import Reason
from pixcrawler.middlewares.keys import HidesKey, key_of, with_key, without_key
from pixcrawler.pauses import Pauses

LONGEST_HEAD = 2**18  # bytes of status line and headers; Twisted bounds a line, not their number
GLANCE = 0.25  # seconds; a crawl that stops tells nobody, so it is looked at this often


class Fenced(IgnoreRequest):
    """Raised for a request that comes when the run has ended, or when its lease may be over."""

    reason = Reason.CANCELLED


class FencedDownloadHandler(HTTP11DownloadHandler):
    """Asks as late as can be: middlewares are asked before a request waits in the queue of its host.

    Scrapy 2.19 counts a request against CONCURRENT_REQUESTS_PER_DOMAIN only in the next turn of the loop, so that
    requests which come together all pass. Hence a limit of our own.
    """

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._at_once = crawler.settings.getint("CONCURRENT_REQUESTS_PER_DOMAIN")
        self._under_way: set[asyncio.Task[Response]] = set()
        crawler.signals.connect(self.break_off, BREAK_OFF)
        # Of hosts in use.
        self._rooms: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._pool._factory = _Factory

    async def download_request(self, request: Request) -> Response:
        host = host_of(request.url)
        room = self._rooms.setdefault(host, asyncio.Semaphore(self._at_once))
        async with room, self._turn(host):
            await self._wait_for_end_of_pause(host)
            self._refuse_late()
            response = await self._until_broken_off(self._download(request))
            self._pauses.heed(host, response)  # before the next one is let in
            return response

    async def _download(self, request: Request) -> Response:
        spider = self._crawler.spider
        key = key_of(request, spider) if isinstance(spider, ImageSpider) else None
        if key is None:
            return await super().download_request(request)
        hides_key = HidesKey(key)
        http11.logger.addFilter(hides_key)
        try:
            return without_key(await super().download_request(with_key(request, key)), request, key)
        finally:
            http11.logger.removeFilter(hides_key)

    @property
    def _pauses(self) -> Pauses:
        spider = self._crawler.spider
        return spider.pauses if isinstance(spider, ImageSpider) else Pauses()

    def _turn(self, host: str) -> AbstractAsyncContextManager[None]:
        """A host that has ever asked for a pause is asked for one thing at a time."""
        return self._turns.setdefault(host, asyncio.Lock()) if self._pauses.knows(host) else nullcontext()

    async def _wait_for_end_of_pause(self, host: str) -> None:
        """Waits in the host's own room. Raises `HostPaused` if that took too long."""
        while seconds := self._pauses.left(host):
            self._refuse_late()
            self._pauses.refuse_long(host)
            await asyncio.sleep(min(seconds, GLANCE))

    async def _until_broken_off(self, download: Coroutine[Any, Any, Response]) -> Response:
        task = asyncio.create_task(download)
        self._under_way.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            raise Fenced("broken off") from None
        finally:
            self._under_way.discard(task)

    def break_off(self) -> None:
        """Ends what is under way; its pictures stay undecided."""
        for task in self._under_way:
            task.cancel()

    def _refuse_late(self) -> None:
        spider = self._crawler.spider
        if isinstance(spider, ImageSpider) and (spider.stopping or not spider.ledger.may_write):
            raise Fenced("the crawl is over")


class _Parser(_LenientHTTPClientParser):
    """Ends a connection whose headers have no end."""

    head = 0  # bytes so far

    def lineReceived(self, line: bytes) -> None:  # noqa: N802  Twisted's name
        self.head += len(line)
        if self.head > LONGEST_HEAD:
            raise ParseError("headers without end", b"")  # type: ignore[no-untyped-call]
        super().lineReceived(line)


class _Protocol(_LenientHTTP11ClientProtocol):
    def request(self, request: Any) -> Deferred[Any]:
        deferred = super().request(request)
        self._parser.__class__ = _Parser  # as the base does: Twisted has no other way
        return deferred


class _Factory(_LenientHTTP11ClientFactory):
    def buildProtocol(self, addr: Any) -> _Protocol:  # noqa: N802  Twisted's name
        return _Protocol(self._quiescentCallback)  # type: ignore[no-untyped-call]
