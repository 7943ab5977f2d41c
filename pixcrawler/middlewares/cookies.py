"""Cookies of sources' pages, as Scrapy keeps them; which domains may share them is known without asking anybody."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Self

from scrapy.crawler import Crawler
from scrapy.http import Request, Response

if TYPE_CHECKING:
    from scrapy.downloadermiddlewares import cookies


class CookiesMiddleware:
    """For questions to a source; all other requests say `dont_merge_cookies`.

    Scrapy's is loaded for the first cookie: most sources have none, and it takes a tenth of a crawl's start.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._met = False

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler)

    def process_request(self, request: Request) -> None:
        if self._concerns(request, met=bool(request.cookies)):
            self._scrapys.process_request(request)

    def process_response(self, request: Request, response: Response) -> Response:
        if self._concerns(request, met="Set-Cookie" in response.headers):
            self._scrapys.process_response(request, response)
        return response

    def _concerns(self, request: Request, *, met: bool) -> bool:
        if request.meta.get("dont_merge_cookies"):
            return False
        self._met = self._met or met
        return self._met

    @cached_property
    def _scrapys(self) -> cookies.CookiesMiddleware:
        from scrapy.downloadermiddlewares import cookies
        from tldextract import TLDExtract

        # Scrapy's own would fetch the list of public suffixes: past the firewall, and while all else waits.
        cookies._split_domain = TLDExtract(include_psl_private_domains=True, suffix_list_urls=(), cache_dir=None)
        return cookies.CookiesMiddleware.from_crawler(self._crawler)
