"""Has pages rendered by Scrapy with the project's settings, one after the other; run as a script by test_browser.py.

In: {"pages": [[url, {selectors and numbers of a `Rendering`}], …], "changes": {constant of `chromium`: value, …},
"at_once": false} on stdin; the URL `kill:` kills the browser.
Out: {"outcomes": [{…}, …], "stats": {…}} on stdout, in order.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import psutil
import scrapy
from scrapy.crawler import AsyncCrawlerProcess
from scrapy.utils.project import get_project_settings

from pixcrawler.rendering import rendered

ORDER = json.load(sys.stdin)
OUTCOMES: list[dict[str, Any]] = []


class Shower(scrapy.Spider):
    name = "shower"

    async def start(self) -> AsyncIterator[scrapy.Request]:
        change_constants()
        if ORDER["at_once"]:
            OUTCOMES.extend(await asyncio.gather(*(self.show(*page) for page in ORDER["pages"])))
        else:
            OUTCOMES.extend([await self.show(*page) for page in ORDER["pages"]])
        return
        yield

    async def show(self, url: str, rendering: dict[str, Any]) -> dict[str, Any]:
        if url == "kill:":
            return kill_browser()
        try:
            response = await self.crawler.engine.download_async(rendered(scrapy.Request(url), **rendering))
        except Exception as error:
            reason = getattr(error, "reason", None)
            return {"error": type(error).__name__, "message": str(error), "reason": reason and str(reason)}
        return {
            "status": response.status,
            "url": response.url,
            "text": response.text,
            "from": str(response.ip_address),
            "memory": memory(),
        }


def change_constants() -> None:
    if ORDER["changes"]:
        from pixcrawler.middlewares import chromium

        for name, value in ORDER["changes"].items():
            assert hasattr(chromium, name)
            setattr(chromium, name, value)


def kill_browser() -> dict[str, Any]:
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # the first that dies takes others with it
            if "chrom" in process.name():
                process.kill()
    return {}


def memory() -> int:
    """Bytes that the browser's processes and its driver's have, each shared page counted once."""
    total = 0
    for process in psutil.Process().children(recursive=True):
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue  # it has just ended
    return total


if __name__ == "__main__":
    settings = get_project_settings()
    for name, value in {"EXTENSIONS": {}, "ITEM_PIPELINES": {}, "LOG_LEVEL": "WARNING"}.items():
        settings.set(name, value, priority="cmdline")
    process = AsyncCrawlerProcess(settings)
    crawler = process.create_crawler(Shower)
    process.crawl(crawler)
    process.start()
    assert crawler.stats is not None
    print(json.dumps({"outcomes": OUTCOMES, "stats": crawler.stats.get_stats()}, default=str))
