"""Counts what only a crawl process knows, and leaves it beside the log, where its node finds it however it ends."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

from scrapy import Request, signals
from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured
from scrapy.http import Response

from pixcrawler.base_spiders import ImageSpider
from pixcrawler.config import config
from pixcrawler.crawling import ASKED, Decided, Rejected
from pixcrawler.items import ImageItem
from pixcrawler.jobs import KEPT, Reason
from pixcrawler.metrics import IMAGES, RECEIVED_BYTES, REQUEST_SECONDS, counted
from pixcrawler.opt_outs import JUDGED, Kind

logger = logging.getLogger(__name__)


class Measuring:
    """Writes what it has counted once a heartbeat, and at the end."""

    def __init__(self, crawler: Crawler, spider: ImageSpider, file: Path) -> None:
        self._crawler = crawler
        self._spider = spider
        self._file = file
        self._writing: asyncio.Task[None] | None = None

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Measuring:
        spider, log = crawler.spider, crawler.settings.get("LOG_FILE")
        if not isinstance(spider, ImageSpider) or not spider.arguments.attempt or not log:
            raise NotConfigured  # not started by a node: nobody would read it
        measuring = cls(crawler, spider, Path(log).with_suffix(".json"))
        for signal, handler in (
            (signals.spider_opened, measuring.spider_opened),
            (signals.response_received, measuring.response_received),
            (signals.item_scraped, measuring.item_scraped),
            (signals.item_dropped, measuring.item_dropped),
            (signals.spider_closed, measuring.spider_closed),
        ):
            crawler.signals.connect(handler, signal)
        return measuring

    def spider_opened(self) -> None:
        self._writing = asyncio.create_task(self._keep_writing())

    def response_received(self, response: Response, request: Request) -> None:
        RECEIVED_BYTES.labels(self._spider.name).inc(len(response.body))
        kind = "page" if ASKED in request.meta else "image" if request.meta.get(JUDGED) is Kind.IMAGE else None
        seconds = request.meta.get("download_latency")
        if kind and seconds is not None:
            REQUEST_SECONDS.labels(self._spider.name, kind).observe(seconds)

    def item_scraped(self, item: ImageItem) -> None:
        IMAGES.labels(item.source, KEPT).inc()

    def item_dropped(self, item: ImageItem, exception: Exception) -> None:
        if isinstance(exception, Rejected | Decided) and exception.reason is not Reason.CANCELLED:  # stays open
            IMAGES.labels(item.source, exception.reason).inc()

    def spider_closed(self) -> None:
        if self._writing:
            self._writing.cancel()
        self._write()

    async def _keep_writing(self) -> None:
        while True:
            await asyncio.sleep(config().heartbeat_seconds)
            self._write()

    def _write(self) -> None:
        """Whole or not at all; a full disk is no reason to end a crawl."""
        part = self._file.with_suffix(".part")
        try:
            part.write_text(json.dumps(self._known(), default=str), encoding="utf-8")
            part.replace(self._file)
        except OSError as error:
            logger.warning("Statistics could not be written: %s", error)
            with suppress(OSError):
                part.unlink(missing_ok=True)

    def _known(self) -> dict[str, Any]:
        run, stats = self._spider.run, self._crawler.stats
        return {
            "source": self._spider.name,
            "attempt": self._spider.arguments.attempt,
            "job": run.job if run else None,
            "trace": run.trace if run else None,
            "scrapy": stats.get_stats() if stats else {},
            "counted": counted(),
        }
