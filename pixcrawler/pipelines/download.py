"""Fetches the bytes as they are served and has them looked at, once."""

from __future__ import annotations

from urllib.parse import urlsplit

from scrapy.crawler import Crawler
from scrapy.http import Request, Response

from pixcrawler import faults
from pixcrawler.crawling import Rejected
from pixcrawler.errors import NotAnImage, PixCrawlerError
from pixcrawler.failures import reason_of
from pixcrawler.inspectors import Inspectors
from pixcrawler.items import ImageItem
from pixcrawler.jobs import Reason
from pixcrawler.opt_outs import JUDGED, Kind
from pixcrawler.pipelines.component import Component

# What we can use comes first, so that hosts which convert on request have no cause to.
ACCEPT = "image/jpeg,image/png,image/gif,image/webp,*/*;q=0.5"


def _referer(item: ImageItem) -> dict[str, str]:
    """The site of the page that shows the picture, as browsers tell it: some hosts serve nobody else."""
    page, picture = urlsplit(item.page_url or ""), urlsplit(item.url)
    is_told = page.scheme in ("http", "https") and page.hostname and (page.scheme, picture.scheme) != ("https", "http")
    return {"Referer": f"{page.scheme}://{page.netloc.rpartition('@')[2]}/"} if is_told else {}


class DownloadPipeline(Component):
    """It should only: return the item with body and inspection, or raise `Rejected`. It stores nothing.

    Not a `MediaPipeline`: that shares answers among items and remembers them, for which every picture would pay.
    """

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self.inspectors = Inspectors()

    def open_spider(self) -> None:
        self.inspectors.start()

    async def close_spider(self) -> None:
        await self.inspectors.close()

    async def process_item(self, item: ImageItem) -> ImageItem:
        if self.spider.stopping:
            raise Rejected(Reason.CANCELLED)
        if not self.ledger.missing(item.keyword):
            raise Rejected(Reason.OVER_QUOTA)
        response = await self._fetched(item)
        if response.status != 200:
            again = response.status == 429 or response.status >= 500
            raise Rejected(Reason.SERVER_ERROR if again else Reason.HTTP_ERROR, str(response.status))
        item.body, item.received, item.ip = response.body, True, str(response.ip_address)
        faults.reach("crawl.fetched")
        try:
            item.inspection = await self.inspectors.inspect(item.body)
        except NotAnImage as error:
            raise Rejected(Reason(error.reason), error.message) from None
        except PixCrawlerError as error:  # no workers
            self.spider.give_up(error)
            raise Rejected(Reason.CANCELLED) from error
        return item

    async def _fetched(self, item: ImageItem) -> Response:
        try:
            meta = {JUDGED: Kind.IMAGE, "dont_merge_cookies": True}
            request = Request(item.url, headers={"Accept": ACCEPT, **_referer(item)}, meta=meta)
        except ValueError as error:
            raise Rejected(Reason.BAD_URL, str(error)) from None
        try:
            return await self.crawler.engine.download_async(request)
        except Exception as error:
            reason = reason_of(error)
            if reason is Reason.UNREACHABLE and self.spider.stopping:
                reason = Reason.CANCELLED  # connections are torn down with the engine
            raise Rejected(reason, f"{type(error).__name__}: {error}") from None
