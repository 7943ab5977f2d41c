"""Refuses pictures already kept, as far as this process knows; `record` has the last word."""

from __future__ import annotations

from pixcrawler.crawling import Rejected
from pixcrawler.items import ImageItem
from pixcrawler.pipelines.component import Component


class DeduplicatePipeline(Component):
    """It should only: return the item, or raise `Rejected`. It writes nothing."""

    def process_item(self, item: ImageItem) -> ImageItem:
        assert item.inspection is not None
        if reason := self.ledger.duplicate_of(item.inspection):
            raise Rejected(reason)
        return item
