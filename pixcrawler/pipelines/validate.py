"""Refuses pictures that no dataset wants, by what their inspection found."""

from __future__ import annotations

from pixcrawler.config import config
from pixcrawler.crawling import Rejected
from pixcrawler.imaging import verdict
from pixcrawler.items import ImageItem


class ValidatePipeline:
    """It should only: return the item, or raise `Rejected`."""

    def process_item(self, item: ImageItem) -> ImageItem:
        assert item.inspection is not None
        settings = config()
        reason = verdict(item.inspection, min_side=settings.min_side, max_aspect=settings.max_aspect)
        if reason:
            raise Rejected(reason, f"{item.inspection.width}x{item.inspection.height}")
        return item
