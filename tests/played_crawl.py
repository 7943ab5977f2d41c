"""Runs a crawl whose ledger plays a part: `python played_crawl.py SCENARIO ARGUMENT=VALUE …`. For test_progress.py.

Prints what the ledger was told, one JSON list per line.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Any

from scrapy.crawler import AsyncCrawlerProcess
from scrapy.utils.project import get_project_settings

from pixcrawler.errors import LeaseLost
from pixcrawler.extensions import progress
from pixcrawler.items import ImageItem
from pixcrawler.jobs import Outcome, Reason, Spent
from pixcrawler.ledger import Run
from pixcrawler.local_ledger import LocalLedger


def say(*words: Any) -> None:
    print(json.dumps(words), flush=True)


class Telling(LocalLedger):
    """A ledger that tells what it hears."""

    async def begin(self, items: Sequence[ImageItem]) -> None:
        say("begin", *(item.url for item in items))

    async def keep(self, item: ImageItem) -> Reason | None:
        reason = await super().keep(item)
        say("keep", item.url)
        return reason

    def reject(self, item: ImageItem, reason: Reason, detail: str = "") -> None:
        say("reject", item.url, reason)
        super().reject(item, reason, detail)

    async def close(self, outcome: Outcome) -> None:
        say("close", outcome.state, outcome.reason)


class NotOurs(Telling):
    async def open(self) -> Run | None:
        return None


class Resumed(Telling):
    """Two suspects, three others, and a cursor past the first page."""

    async def open(self) -> Run | None:
        self.run.slices["otter"].cursor = 2
        return self.run

    async def open_candidates(self) -> tuple[list[ImageItem], list[ImageItem]]:
        found = self.items
        await self.add_page("otter", found, 2, None)
        return found[:2], found[2:]

    @property
    def items(self) -> list[ImageItem]:
        return [ImageItem(url, "openverse", "otter") for url in ARGUMENTS["urls"].split(",")]


class Cancelled(Telling):
    async def beat(self) -> bool:
        return False


class LostAtBeat(Telling):
    async def beat(self) -> bool:
        raise LeaseLost("attempt 1-1 is not ours any more")


class Stuck(LostAtBeat):
    """Nothing is ever decided, so that the crawl cannot end by itself."""

    async def keep(self, item: ImageItem) -> Reason | None:
        await asyncio.Event().wait()
        return None


class LostAtPage(Telling):
    async def add_page(self, keyword: str, items: Sequence[ImageItem], cursor: Any, spent: Spent | None) -> Any:
        raise LeaseLost("attempt 1-1 is not ours any more")


class LostAtKeep(Telling):
    async def keep(self, item: ImageItem) -> Reason | None:
        raise LeaseLost("attempt 1-1 is not ours any more")


class Silent(Telling):
    """No heartbeat gets through."""

    silent = False

    async def beat(self) -> bool:
        self.silent = True
        raise ConnectionError("the database is away")

    @property
    def may_write(self) -> bool:
        return not self.silent


class Barren(Telling):
    def barren(self, keyword: str) -> bool:
        return len(self._seen) > 0

    async def mark_spent(self, keyword: str, spent: Spent) -> None:
        say("spent", keyword, spent)
        await super().mark_spent(keyword, spent)


class Broken(Telling):
    """A fault of our own, at one picture."""

    def duplicate_of(self, inspection: Any) -> Reason | None:
        raise RuntimeError("a bug")


if __name__ == "__main__":
    scenario = globals()[sys.argv[1]]
    ARGUMENTS = dict(argument.split("=", 1) for argument in sys.argv[2:])
    progress._ledger = lambda spider: scenario(
        progress.config(), spider.name, spider.keywords, spider.arguments.max_images
    )
    process = AsyncCrawlerProcess(get_project_settings())
    process.crawl("openverse", **{name: value for name, value in ARGUMENTS.items() if name != "urls"})
    process.start()
