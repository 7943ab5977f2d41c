"""Refuses pictures already kept, as far as this process knows; `record` has the last word."""

from __future__ import annotations

from pixcrawler.crawling import Rejected
from pixcrawler.errors import PixCrawlerError
from pixcrawler.items import ImageItem
from pixcrawler.jobs import Reason
from pixcrawler.pipelines.component import Component


class DeduplicatePipeline(Component):
    """It should only: return the item, or raise `Rejected`; or end the run. It writes nothing."""

    async def process_item(self, item: ImageItem) -> ImageItem:
        try:
            reason = await self.ledger.duplicate_of(item)
        except PixCrawlerError as error:
            self.spider.give_up(error)
            raise Rejected(Reason.CANCELLED) from error
        if reason:
            raise Rejected(reason)
        return item
