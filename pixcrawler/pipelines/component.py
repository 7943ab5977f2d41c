"""What all pipelines are made of."""

from __future__ import annotations

from typing import Self

from scrapy.crawler import Crawler

from pixcrawler.base_spiders import ImageSpider
from pixcrawler.ledger import Ledger


class Component:
    """A pipeline of an `ImageSpider`'s crawl."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler)

    @property
    def spider(self) -> ImageSpider:
        assert isinstance(self.crawler.spider, ImageSpider)
        return self.crawler.spider

    @property
    def ledger(self) -> Ledger:
        return self.spider.ledger
