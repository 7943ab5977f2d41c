"""The sources there are, and what is known of each without asking it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache

from scrapy.settings import Settings
from scrapy.spiderloader import SpiderLoader

from pixcrawler.base_spiders import ImageSpider
from pixcrawler.terms import Source


@cache
def spiders() -> Mapping[str, type[ImageSpider]]:
    """Every source's spider, by name, in the order of the alphabet."""
    loader = SpiderLoader.from_settings(Settings({"SPIDER_MODULES": ["pixcrawler.spiders"]}))
    found = {name: loader.load(name) for name in sorted(loader.list())}
    return {name: spider for name, spider in found.items() if issubclass(spider, ImageSpider)}


def catalogue() -> Mapping[str, Source]:
    """What is known of every source, by name."""
    return {name: spider.known() for name, spider in spiders().items()}


def descriptions() -> Mapping[str, str]:
    """What every source is, by name."""
    return {name: description(name) for name in spiders()}


def description(source: str) -> str:
    """What a source is: the first line of its file."""
    return (sys.modules[spiders()[source].__module__].__doc__ or "").strip().partition("\n")[0]
