"""Has the ledger decide whether a stored picture is kept."""

from __future__ import annotations

from pixcrawler.crawling import Decided, Rejected
from pixcrawler.errors import PixCrawlerError
from pixcrawler.items import ImageItem
from pixcrawler.jobs import Reason
from pixcrawler.pipelines.component import Component


class RecordPipeline(Component):
    """It should only: return the item once it is kept for good, or raise `Decided`; or end the run."""

    async def process_item(self, item: ImageItem) -> ImageItem:
        try:
            reason = await self.ledger.keep(item)
        except PixCrawlerError as error:
            self.spider.give_up(error)
            raise Rejected(Reason.CANCELLED) from error
        if reason:
            raise Decided(reason)
        return item
