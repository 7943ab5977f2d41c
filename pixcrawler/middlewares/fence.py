"""The last look before a connection: not too many to a host, and none once the crawl is over."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any
from weakref import WeakValueDictionary

from scrapy.core.downloader.handlers.http11 import HTTP11DownloadHandler
from scrapy.crawler import Crawler
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Request, Response
from scrapy.utils.httpobj import urlparse_cached

from pixcrawler.base_spiders import ImageSpider
from pixcrawler.crawling import BREAK_OFF
from pixcrawler.jobs import Reason


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
        self._rooms: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()  # of hosts in use

    async def download_request(self, request: Request) -> Response:
        host = urlparse_cached(request).hostname or ""
        room = self._rooms.setdefault(host, asyncio.Semaphore(self._at_once))
        async with room:
            self._refuse_late()
            return await self._until_broken_off(super().download_request(request))

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
