"""The crawl to compare with: Scrapy's own ImagesPipeline with its own settings. `stock.py LIST_FILE FOLDER`"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import scrapy
from scrapy.crawler import AsyncCrawlerProcess


class Stock(scrapy.Spider):
    name = "stock"

    def parse(self, response: Any) -> Iterator[dict[str, list[str]]]:
        # From a callback: items that come from start() end a crawl up to five seconds late.
        for url in response.text.split():
            yield {"image_urls": [url]}


if __name__ == "__main__":
    list_file, folder = sys.argv[1:]
    process = AsyncCrawlerProcess(
        {
            "ITEM_PIPELINES": {"scrapy.pipelines.images.ImagesPipeline": 1},
            "IMAGES_STORE": folder,
            "LOG_LEVEL": "WARNING",  # at INFO it would print every item
        }
    )
    process.crawl(Stock, start_urls=[Path(list_file).absolute().as_uri()])
    process.start()
