"""The last look before a connection: not too many to a host, none too early, and none once the crawl is over."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, ClassVar
from weakref import WeakValueDictionary

import aiohttp
from scrapy.core.downloader.handlers import _base_streaming
from scrapy.core.downloader.handlers._aiohttp import AiohttpDownloadHandler, _ClientResponse
from scrapy.crawler import Crawler
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Headers, Request, Response
from scrapy.utils.ssl import _make_ssl_context

from pixcrawler.base_spiders import ImageSpider
from pixcrawler.crawling import BREAK_OFF
from pixcrawler.items import host_of
from pixcrawler.jobs import Reason
from pixcrawler.middlewares.connections import Connections
from pixcrawler.middlewares.keys import HidesKey, key_of, with_key, without_key
from pixcrawler.pauses import Pauses

GLANCE = 0.25  # seconds; a crawl that stops tells nobody, so it is looked at this often


class Fenced(IgnoreRequest):
    """Raised for a request that comes when the run has ended, or when its lease may be over."""

    reason = Reason.CANCELLED


class FencedDownloadHandler(AiohttpDownloadHandler):
    """Asks as late as can be: middlewares are asked before a request waits in the queue of its host.

    Scrapy 2.19 counts a request against CONCURRENT_REQUESTS_PER_DOMAIN only in the next turn of the loop, so that
    requests which come together all pass. Hence a limit of our own.
    """

    experimental: ClassVar[bool] = False  # what we rely on is tested; Scrapy's warning is for its users
    lazy = True  # a session needs a running loop
    supports_proxies: ClassVar[bool] = False  # one would look up names by itself

    def __init__(self, crawler: Crawler) -> None:
        super(AiohttpDownloadHandler, self).__init__(crawler)  # past a session that would look up names by itself
        self._ssl_context = _make_ssl_context(crawler.settings)
        self._session = aiohttp.ClientSession(
            connector=Connections(),
            cookie_jar=aiohttp.DummyCookieJar(),  # Scrapy keeps them
            auto_decompress=False,
            response_class=_ClientResponse,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        )
        self._session._retry_connection = False  # RETRY_TIMES says how often a host is asked
        self._at_once = crawler.settings.getint("CONCURRENT_REQUESTS_PER_DOMAIN")
        self._under_way: set[asyncio.Task[Any]] = set()
        self._broken_off = False
        crawler.signals.connect(self.break_off, BREAK_OFF)
        # Of hosts in use.
        self._rooms: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

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
        request.meta["verbatim_url"] = True  # as Scrapy has made it; aiohttp would write it otherwise
        spider = self.crawler.spider
        key = key_of(request, spider) if isinstance(spider, ImageSpider) else None
        if key is None:
            return await super().download_request(request)
        hides_key = HidesKey(key)
        _base_streaming.logger.addFilter(hides_key)
        try:
            return without_key(await super().download_request(with_key(request, key)), request, key)
        finally:
            _base_streaming.logger.removeFilter(hides_key)

    @property
    def _pauses(self) -> Pauses:
        spider = self.crawler.spider
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
        task = asyncio.current_task()
        assert task is not None  # the downloader's own, for this request alone
        self._under_way.add(task)
        try:
            return await download
        except asyncio.CancelledError:
            if not self._broken_off:
                raise
            task.uncancel()
            raise Fenced("broken off") from None
        finally:
            self._under_way.discard(task)

    def break_off(self) -> None:
        """Ends what is under way; its pictures stay undecided."""
        self._broken_off = True
        for task in self._under_way:
            task.cancel()

    def _refuse_late(self) -> None:
        spider = self.crawler.spider
        if isinstance(spider, ImageSpider) and (spider.stopping or not spider.ledger.may_write):
            raise Fenced("the crawl is over")

    @staticmethod
    def _extract_headers(response: _ClientResponse) -> Headers:
        return Headers(list(response.raw_headers))  # as they came, whatever their encoding
