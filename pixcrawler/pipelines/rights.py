"""Refuses pictures outside the job's rights policy, before anything is fetched."""

from __future__ import annotations

from functools import cached_property

from pixcrawler.crawling import Rejected
from pixcrawler.items import ImageItem
from pixcrawler.jobs import Reason
from pixcrawler.pipelines.component import Component
from pixcrawler.rights import Policy, allows, licence_of, parse_policy


class RightsPipeline(Component):
    """It should only: return the item, or raise `Rejected`."""

    def process_item(self, item: ImageItem) -> ImageItem:
        licence = licence_of(item.license, item.license_url, item.source)
        if not allows(self.policy, licence):
            said = " ".join(filter(None, (item.license, item.license_url))) or "nothing said"
            raise Rejected(Reason.LICENCE, licence.id if licence else f"unknown: {said}")
        return item

    @cached_property
    def policy(self) -> Policy:
        """The job's, or what was given with `-a`. Raises `UsageError`, which ends the run."""
        return parse_policy(self.ledger.run.options.get("rights", self.spider.arguments.rights))
