"""Gives a crawl its ledger, keeps its lease, books what was refused, and writes how it ended."""

from __future__ import annotations

import asyncio
import gc
import logging
import os

from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured
from twisted.python.failure import Failure

from pixcrawler import faults, logs
from pixcrawler.base_spiders import ImageSpider
from pixcrawler.config import config
from pixcrawler.crawling import BREAK_OFF, Rejected, leave
from pixcrawler.errors import LeaseLost, PixCrawlerError, UsageError
from pixcrawler.flow import Share
from pixcrawler.items import ImageItem
from pixcrawler.jobs import AttemptState, Outcome, Reason, Spent
from pixcrawler.ledger import Ledger
from pixcrawler.local_ledger import LocalLedger
from pixcrawler.storage import open_storage

logger = logging.getLogger(__name__)

MOST_GARBAGE = 10_000  # objects in cycles, of a few pictures; the default has them looked for many times for each
GLANCE = 0.5  # seconds; a stopped engine tells nobody, so it is looked at this often
FINISH_SECONDS = 3.0  # for downloads under way when the crawl is stopped: KILL comes 10 after the first signal
LEAVE_SECONDS = 5.0  # to end by itself after a lost lease
LEASE_LOST_STATUS = 75  # EX_TEMPFAIL

WHY_SPENT = {
    Spent.EXHAUSTED: "its source has no more",
    Spent.CAPPED: "its source shows no more",
    Spent.BARREN: "hardly any of its last pictures was usable",
}


class Progress:
    """The one place where a crawl's end is written."""

    def __init__(self, spider: ImageSpider) -> None:
        self.spider = spider
        self.lost = False
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Progress:
        spider = crawler.spider
        if not isinstance(spider, ImageSpider):
            raise NotConfigured("not a source")  # `scrapy shell` and `scrapy fetch`
        progress = cls(spider)
        try:
            faults.arm()
            spider.ledger = _ledger(spider)
        except PixCrawlerError as error:
            leave(error)
        spider.lease_lost = progress.lease_lost
        spider.stored_file = _stored_file
        for signal, handler in (
            (signals.spider_opened, progress.spider_opened),
            (signals.item_scraped, progress.item_scraped),
            (signals.item_dropped, progress.item_dropped),
            (signals.item_error, progress.item_error),
            (signals.spider_closed, progress.spider_closed),
        ):
            crawler.signals.connect(handler, signal)
        return progress

    @property
    def ledger(self) -> Ledger:
        return self.spider.ledger

    def spider_opened(self) -> None:
        gc.freeze()  # what is there by now stays; looking through it again and again takes a tenth of a crawl
        gc.set_threshold(MOST_GARBAGE)
        self._tasks = [asyncio.create_task(self._beats()), asyncio.create_task(self._break_off())]

    async def _break_off(self) -> None:
        """Gives downloads a moment once the crawl is stopping: a slow host may take a minute."""
        going_on = True
        while going_on:
            await asyncio.sleep(GLANCE)
            going_on = self.spider.run is None or not self.spider.stopping
        await asyncio.sleep(FINISH_SECONDS)
        self.spider.crawler.signals.send_catch_log(BREAK_OFF)

    async def _beats(self) -> None:
        while True:
            await asyncio.sleep(config().heartbeat_seconds)
            if self.spider.run is not None and not self.lost:
                await self._beat()

    async def _beat(self) -> None:
        try:
            async with asyncio.timeout(config().heartbeat_seconds):
                if not await self.ledger.beat():
                    self.spider.end(Outcome(AttemptState.CANCELLED, "the job was cancelled"))
        except LeaseLost as error:
            self.lease_lost(error)
        except Exception as error:
            logger.warning("A heartbeat failed: %s: %s", type(error).__name__, error)
        if not self.ledger.may_write and not self.lost:
            self.lease_lost(LeaseLost("no heartbeat has got through for too long"))

    def lease_lost(self, error: LeaseLost) -> None:
        """Ends the process without a word to the database: the attempt may be somebody else's."""
        if self.lost:
            return
        self.lost = True
        logger.error("Stopping at once: %s", error)
        self.spider.end(Outcome(AttemptState.LOST, str(error)))
        asyncio.get_running_loop().call_later(LEAVE_SECONDS, os._exit, LEASE_LOST_STATUS)

    def item_scraped(self, item: ImageItem) -> None:
        self.spider.window.release(item)

    def item_dropped(self, item: ImageItem, exception: Exception) -> None:
        """Books a rejection. What was cancelled stays open for the run's outcome to decide; `Decided` is booked."""
        item.body = None
        if isinstance(exception, Rejected) and exception.reason is not Reason.CANCELLED:
            self.ledger.reject(item, exception.reason, exception.detail)
        self.spider.window.release(item)

    def item_error(self, item: ImageItem, failure: Failure) -> None:
        """Ends the run: an error of ours must not pass as a fault of the picture, which stays open."""
        item.body = None
        if failure.value is not None:
            self.spider.give_up(failure.value)
        self.spider.window.release(item)

    async def spider_closed(self, reason: str) -> None:
        for task in self._tasks:
            task.cancel()
        if self.spider.run is None or self.lost:
            return
        outcome = self.spider.outcome or self._outcome(reason)
        logger.info("This crawl ends: %s", " ".join(filter(None, (outcome.state, outcome.reason))))
        try:
            await self.ledger.close(outcome)
        except Exception as error:
            logger.error("The end could not be written: %s: %s", type(error).__name__, error)

    def _outcome(self, reason: str) -> Outcome:
        if reason == "cancelled":
            return Outcome(AttemptState.CANCELLED)
        if reason != "finished":
            return Outcome(AttemptState.LOST, "interrupted")
        shares = self.spider.shares.values()
        if not any(self._quota(share) and self.ledger.missing(share.keyword) for share in shares):
            return Outcome(AttemptState.SUCCEEDED)
        return Outcome(AttemptState.SHORT, "; ".join(map(self._account, shares)))

    def _quota(self, share: Share) -> int | None:
        return self.ledger.run.slices[share.keyword].quota

    def _account(self, share: Share) -> str:
        """What a keyword brought, and why no more."""
        brought = (self._quota(share) or 0) - self.ledger.missing(share.keyword)
        why = WHY_SPENT[share.spent] if share.spent else "which was all it was asked for"
        return f"{share.keyword} brought {brought}, {why}"


def _ledger(spider: ImageSpider) -> Ledger:
    arguments = spider.arguments
    if arguments.attempt is None:
        return LocalLedger(config(), spider.name, spider.keywords, arguments.max_images, arguments.duplicates)
    if config().database_url is None:
        raise UsageError(f"DATABASE_URL is not set, and a run of a job ({arguments.attempt}) is read from there")
    run, attempt = arguments.attempt.split("-")
    logs.identify(run=int(run), attempt=int(attempt))
    from pixcrawler.db.ledger import PostgresLedger  # a local crawl needs no SQLAlchemy

    return PostgresLedger(config(), arguments.attempt)


async def _stored_file(key: str) -> bytes:
    storage = await asyncio.to_thread(open_storage, config())
    return await storage.get(key)
