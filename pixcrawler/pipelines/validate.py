"""Refuses pictures that their owner has reserved, or that are not as good as the job asks, by their inspection."""

from __future__ import annotations

from functools import cached_property

from pixcrawler import quality
from pixcrawler.config import config
from pixcrawler.crawling import Rejected
from pixcrawler.items import ImageItem
from pixcrawler.jobs import Reason
from pixcrawler.pipelines.component import Component
from pixcrawler.quality import Policy


class ValidatePipeline(Component):
    """It should only: return the item, or raise `Rejected`."""

    @cached_property
    def policy(self) -> Policy:
        """The preset of the crawl or its job, within the operator's limits."""
        name = self.spider.arguments.quality or self.ledger.run.options.get("quality") or quality.DEFAULT
        return quality.limited(quality.preset(name), min_side=config().min_side, max_aspect=config().max_aspect)

    def process_item(self, item: ImageItem) -> ImageItem:
        assert item.inspection is not None
        if item.inspection.data_mining:
            raise Rejected(Reason.DATA_MINING, item.inspection.data_mining)
        if misfit := self.spider.misfit(item.inspection):
            raise Rejected(Reason.FILTER, misfit)
        if refusal := quality.verdict(item.inspection, self.policy):
            raise Rejected(*refusal)
        return item
