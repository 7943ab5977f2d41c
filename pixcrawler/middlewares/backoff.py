"""Heeds hosts that ask for a pause: at once in the process that was told, within two seconds in all others.

`fence` hears of it and lets nobody past who would come too early; here it is passed on, and asked for again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from scrapy import Request, signals
from scrapy.crawler import Crawler
from scrapy.downloadermiddlewares.retry import get_retry_request
from scrapy.http import Response

from pixcrawler.base_spiders import ImageSpider
from pixcrawler.items import host_of
from pixcrawler.ledger import Pause
from pixcrawler.pauses import asks_for_pause

logger = logging.getLogger(__name__)

LOOK = 1.0  # seconds between two looks at what other processes were told
TRIES_AFTER_PAUSES = 3  # of a picture whose host goes on asking for short ones


class BackoffMiddleware:
    """Tells the other processes of pauses, listens to them, and asks again for what was refused."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self._tasks: set[asyncio.Task[None]] = set()
        self._deaf = False  # and it was said
        crawler.signals.connect(self.spider_opened, signals.spider_opened)
        crawler.signals.connect(self.spider_closed, signals.spider_closed)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> BackoffMiddleware:
        return cls(crawler)

    def spider_opened(self, spider: object) -> None:
        if isinstance(spider, ImageSpider):
            self._begin(self._listen(spider))

    def spider_closed(self) -> None:
        for task in self._tasks:
            task.cancel()

    def process_response(self, request: Request, response: Response) -> Request | Response:
        spider = self.crawler.spider
        if not isinstance(spider, ImageSpider) or not asks_for_pause(response):
            return response
        for host, pause in spider.pauses.take_news().items():
            self._begin(self._tell(spider, host, pause))
        if request.meta.get("dont_retry"):
            return response  # `asking` has its own patience
        spider.pauses.refuse_long(host_of(request.url))
        again = get_retry_request(request, spider=spider, reason="pause", max_retry_times=TRIES_AFTER_PAUSES)
        return again or response

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self, spider: ImageSpider, host: str, pause: Pause) -> None:
        logger.info("%s %s of %.0f s", host, pause.reason, pause.seconds)
        try:
            await spider.ledger.pause(host, pause)
        except Exception as error:
            logger.warning("Other processes could not be told: %s", error)

    async def _listen(self, spider: ImageSpider) -> None:
        """Hears what other processes were told, and lets those go on who waited for the end of a pause."""
        paused: set[str] = set()
        while True:
            await asyncio.sleep(LOOK)
            if spider.run is not None:
                await self._hear(spider)
            if paused != (paused := spider.pauses.hosts):
                spider.window.wake()

    async def _hear(self, spider: ImageSpider) -> None:
        try:
            for host, pause in (await spider.ledger.paused_hosts()).items():
                spider.pauses.heard_of(host, pause)
            self._deaf = False
        except Exception as error:
            if not self._deaf:
                logger.warning("Not heard which hosts want a pause: %s", error)
            self._deaf = True
