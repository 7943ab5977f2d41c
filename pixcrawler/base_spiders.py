"""The shapes of sources. A source answers two questions, what do I ask and what was answered; the rest is done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from scrapy.http import Request, Response

from pixcrawler.crawling import Arguments
from pixcrawler.errors import UsageError
from pixcrawler.flow import Flow, Page, local_request
from pixcrawler.jobs import Spent
from pixcrawler.ledger import Run

__all__ = ["Arguments", "ImageSpider", "Page", "PagedSearch", "UrlList"]


class ImageSpider(Flow):
    """The base of all sources. One has a `name`, a `base_url`, and implements `page_request` and `read_page`."""

    base_url: str = ""
    delay: float = 0.0  # seconds between two page requests; not applied to an operator's own address
    first_cursor: ClassVar[Any] = None
    handle_httpstatus_list: ClassVar[Sequence[int]] = ()  # statuses besides 2xx that `read_page` understands
    extra_arguments: ClassVar[frozenset[str]] = frozenset()  # names the source adds; values are in `arguments.extra`

    def page_request(self, keyword: str, cursor: Any) -> Request:
        """What do I ask? `cursor` is `first_cursor`, or what the page before gave."""
        raise NotImplementedError

    def read_page(self, response: Response, keyword: str, cursor: Any) -> Page:
        """What was answered? Raises `SourceRefused` or `SourceSaysLater`; anything else fails the run too."""
        raise NotImplementedError

    async def prepare(self, run: Run) -> None:
        """Called once before the first page. Override to fetch what the pages need; raise `UsageError`."""

    @classmethod
    def check_arguments(cls, arguments: Arguments) -> None:
        """Raises `UsageError` when the source cannot work with these. Not called for a run of a job."""

    @property
    def keywords(self) -> tuple[str, ...]:
        """What to crawl for when there is no job."""
        return self.arguments.keywords


class PagedSearch(ImageSpider):
    """A search with numbered pages, the first being 1: `cursor` is the page's number."""

    first_cursor: ClassVar[Any] = 1
    page_size: ClassVar[int]
    cap: ClassVar[int]  # results the source shows at most, however many it has

    @classmethod
    def check_arguments(cls, arguments: Arguments) -> None:
        if not arguments.keywords:
            raise UsageError(f'{cls.name} needs keywords, such as -a keywords="red panda,otter"')

    def finish_page(self, page: Page, cursor: Any) -> Page:
        if page.spent is None and cursor * self.page_size >= self.cap:
            page.spent = Spent.CAPPED
        return page


class UrlList(ImageSpider):
    """A list of pictures in a file: `cursor` is the number of lines read. Its pages need no network."""

    first_cursor: ClassVar[Any] = 0
    page_size: ClassVar[int] = 1000  # lines booked at once

    @classmethod
    def check_arguments(cls, arguments: Arguments) -> None:
        if arguments.list_file is None:
            raise UsageError(f"{cls.name} needs a list, such as -a list=urls.txt")
        if not arguments.list_file.is_file():
            raise UsageError(f"list: there is no file {arguments.list_file}")

    @property
    def keywords(self) -> tuple[str, ...]:
        """Those given, or the name of the list."""
        assert self.arguments.list_file is not None
        return self.arguments.keywords or (self.arguments.list_file.name.split(".")[0] or "list",)

    def page_request(self, keyword: str, cursor: Any) -> Request:
        return local_request()
