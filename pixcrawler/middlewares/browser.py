"""Has pages rendered whose sources ask for it; fetches everything else as ever."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from scrapy.crawler import Crawler
from scrapy.http import Request, Response

from pixcrawler.middlewares.fence import FencedDownloadHandler
from pixcrawler.rendering import RENDERED

if TYPE_CHECKING:
    from pixcrawler.middlewares.chromium import Chromium

_browsers: WeakKeyDictionary[Crawler, Chromium] = WeakKeyDictionary()  # one, though each scheme has its handler


class BrowserDownloadHandler(FencedDownloadHandler):
    """A rendered page keeps to the rules of the fence like any other. The browser starts with the first of them."""

    async def _download(self, request: Request) -> Response:
        if RENDERED not in request.meta:
            return await super()._download(request)
        return await self._browser().render(request)

    def _browser(self) -> Chromium:
        if self.crawler not in _browsers:
            from pixcrawler.middlewares.chromium import Chromium  # a third of a second that few crawls need to spend

            _browsers[self.crawler] = Chromium(self.crawler)
        return _browsers[self.crawler]

    async def close(self) -> None:
        await super().close()
        if browser := _browsers.pop(self.crawler, None):
            await browser.close()
