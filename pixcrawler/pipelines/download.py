"""Fetches the bytes as they are served and has them looked at, once."""

from __future__ import annotations

from typing import Any, Self
from urllib.parse import urlsplit

from scrapy.crawler import Crawler
from scrapy.http import Request, Response
from scrapy.pipelines.files import FilesPipeline
from scrapy.pipelines.images import ImagesPipeline
from scrapy.utils.request import RequestFingerprinter
from twisted.python.failure import Failure

from pixcrawler import faults
from pixcrawler.base_spiders import ImageSpider
from pixcrawler.crawling import Rejected
from pixcrawler.errors import NotAnImage, PixCrawlerError
from pixcrawler.failures import reason_of
from pixcrawler.inspectors import Inspectors
from pixcrawler.items import ImageItem
from pixcrawler.jobs import Reason
from pixcrawler.opt_outs import JUDGED, Kind

# What we can use comes first, so that hosts which convert on request have no cause to.
ACCEPT = "image/jpeg,image/png,image/gif,image/webp,*/*;q=0.5"

ITEM_KEY = "item_key"  # in a request's meta


def _referer(item: ImageItem) -> dict[str, str]:
    """The site of the page that shows the picture, as browsers tell it: some hosts serve nobody else."""
    page, picture = urlsplit(item.page_url or ""), urlsplit(item.url)
    is_told = page.scheme in ("http", "https") and page.hostname and (page.scheme, picture.scheme) != ("https", "http")
    return {"Referer": f"{page.scheme}://{page.netloc.rpartition('@')[2]}/"} if is_told else {}


class OnePerItem(RequestFingerprinter):
    """Tells media requests apart by their items: the stock pipeline would share one answer, without its bytes."""

    def fingerprint(self, request: Request) -> bytes:
        key = request.meta.get(ITEM_KEY)
        return key.encode() if key else super().fingerprint(request)


class Forgetful(dict[bytes, Any]):
    """Remembers nothing: the stock pipeline keeps the result of every URL for as long as it runs."""

    def __setitem__(self, key: bytes, value: Any) -> None:
        pass


class DownloadPipeline(ImagesPipeline):
    """It should only: return the item with body and inspection, or raise `Rejected`. It stores nothing."""

    def __init__(self, crawler: Crawler) -> None:
        super(FilesPipeline, self).__init__(crawler=crawler)  # past the stores of files and images
        self.inspectors = Inspectors()
        self._failures: dict[str, Rejected] = {}  # by item key; the stock pipeline passes no word of a failure on

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler)

    def open_spider(self) -> None:  # type: ignore[override]  # the spider argument is optional and deprecated
        super().open_spider()
        self.spiderinfo.downloaded = Forgetful()
        self.inspectors.start()

    @property
    def spider(self) -> ImageSpider:
        assert isinstance(self.crawler.spider, ImageSpider)
        return self.crawler.spider

    async def close_spider(self) -> None:
        await self.inspectors.close()

    async def process_item(self, item: ImageItem) -> ImageItem:  # type: ignore[override]
        await super().process_item(item)
        assert item.body is not None
        faults.reach("crawl.fetched")
        try:
            item.inspection = await self.inspectors.inspect(item.body)
        except NotAnImage as error:
            raise Rejected(Reason(error.reason), error.message) from None
        except PixCrawlerError as error:  # no workers
            self.spider.give_up(error)
            raise Rejected(Reason.CANCELLED) from error
        return item

    def get_media_requests(self, item: ImageItem, info: Any) -> list[Request]:
        if self.spider.stopping:
            raise Rejected(Reason.CANCELLED)
        if not self.spider.ledger.missing(item.keyword):
            raise Rejected(Reason.OVER_QUOTA)
        try:
            meta = {ITEM_KEY: item.key, JUDGED: Kind.IMAGE, "dont_merge_cookies": True}
            return [Request(item.url, headers={"Accept": ACCEPT, **_referer(item)}, meta=meta)]
        except ValueError as error:
            raise Rejected(Reason.BAD_URL, str(error)) from None

    def media_to_download(self, request: Request, info: Any, *, item: Any = None) -> None:
        return None

    async def media_downloaded(  # type: ignore[override]
        self, response: Response, request: Request, info: Any, *, item: ImageItem
    ) -> None:
        if response.status == 200:
            item.body, item.received, item.ip = response.body, True, str(response.ip_address)
        else:
            again = response.status == 429 or response.status >= 500
            reason = Reason.SERVER_ERROR if again else Reason.HTTP_ERROR
            self._failures[item.key] = Rejected(reason, str(response.status))

    def media_failed(  # type: ignore[override]  # a raised exception would be logged with its traceback
        self, failure: Failure, request: Request, info: Any
    ) -> None:
        reason = reason_of(failure.value)
        if reason is Reason.UNREACHABLE and self.spider.stopping:
            reason = Reason.CANCELLED  # connections are torn down with the engine
        self._failures[request.meta[ITEM_KEY]] = Rejected(reason, f"{type(failure.value).__name__}: {failure.value}")

    def item_completed(self, results: list[Any], item: ImageItem, info: Any) -> ImageItem:
        if rejected := self._failures.pop(item.key, None):
            raise rejected
        return item
