"""A look at a source's first pages, as a crawl would see them, without fetching a picture: to record and to check."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from scrapy.http import Request, Response

from pixcrawler.base_spiders import ImageSpider, Page, is_web_address
from pixcrawler.config import config
from pixcrawler.errors import PixCrawlerError, SourceSaysLater
from pixcrawler.flow import local_request
from pixcrawler.items import ImageItem
from pixcrawler.jobs import Health
from pixcrawler.local_ledger import LocalLedger

MOST_PAGES = 4  # some sources hand out cookies or a token first
MOST_LOOKUPS = 6  # of one page
LEAST_PICTURES = 5  # what a check asks for has thousands


@dataclass(slots=True)
class Look:
    """A question and its answer. `page` is None for a look-up; `error` says why an answer could not be read."""

    keyword: str
    cursor: Any
    request: Request
    response: Response | None = None
    page: Page | None = None
    items: list[ImageItem] = field(default_factory=list)
    error: PixCrawlerError | None = None
    is_lookup: bool = False


def probe_of(source: type[ImageSpider], done: Callable[[list[Look]], None]) -> type[ImageSpider]:
    """A spider that looks at the first pages of each keyword, until one has pictures, and hands what it saw on."""

    class Probe(source):  # type: ignore[misc, valid-type]  # the class is an argument
        async def start(self) -> AsyncIterator[Request]:
            yield local_request(callback=self.look)

        async def look(self, _: Response) -> None:
            with TemporaryDirectory() as folder:
                settings = config().model_copy(update={"data_dir": Path(folder)})
                self.ledger = LocalLedger(settings, self.name, self.keywords, None)
                await self.prepare(self.ledger.run)
                done([look for keyword in self.keywords for look in await self._first_pages(keyword)])

        async def _first_pages(self, keyword: str) -> list[Look]:
            looks: list[Look] = []
            cursor = self.first_cursor
            for _ in range(MOST_PAGES):
                looks.append(await self._look_at(keyword, cursor))
                page = looks[-1].page
                if page is None:
                    break
                looks += [await self._look_up(keyword, request) for request in page.lookups[:MOST_LOOKUPS]]
                if page.spent or any(look.items for look in looks):
                    break
                cursor = page.cursor
            return looks

        async def _look_at(self, keyword: str, cursor: Any) -> Look:
            look = Look(keyword, cursor, self.page_request(keyword, cursor))
            try:
                look.response = await self._asker.answer(look.request.copy(), self.handle_httpstatus_list)
                look.page = self._read(look.response, self.read_page, keyword, cursor)
                look.items = look.page.items
            except PixCrawlerError as error:
                look.error = error
            return look

        async def _look_up(self, keyword: str, request: Request) -> Look:
            look = Look(keyword, None, request, is_lookup=True)
            try:
                look.response = await self._asker.answer(request.copy(), self.handle_httpstatus_list)
                look.items = self._read(look.response, self.read_lookup, keyword)
            except PixCrawlerError as error:
                look.error = error
            return look

    return Probe


def verdict(source: type[ImageSpider], looks: Sequence[Look]) -> tuple[Health | None, str]:
    """What the looks for a source's golden query say, and why. None: nothing, for the source wants a pause."""
    items = [item for look in looks for item in look.items]
    errors = [look.error for look in looks if look.error]
    if any(isinstance(error, SourceSaysLater) for error in errors):
        return None, str(errors[0])
    if not items and any(look.response is None for look in looks):
        return Health.UNREACHABLE, str(errors[0])
    if len(errors) * 2 > len(looks):
        return Health.BROKEN, str(errors[0])
    if why := fault(source, items):
        return Health.BROKEN, why
    return Health.OK, f"{len(items)} pictures"


def fault(source: type[ImageSpider], items: Sequence[ImageItem]) -> str | None:
    """What is wrong with the pictures of a golden query; None: nothing."""
    if len(items) < LEAST_PICTURES:
        return f"{len(items)} pictures for {source.golden!r}, at least {LEAST_PICTURES} were expected"
    for name, number in filled(items, source.fields).items():
        if number * 2 < len(items):
            return f"hardly any of {len(items)} pictures has a {name}"
    addresses = [item.url for item in items] + [item.page_url for item in items if item.page_url]
    wrong = [address for address in addresses if not is_web_address(address)]
    return f"addresses such as {wrong[0]!r}" if len(wrong) * 2 > len(addresses) else None


def filled(items: Sequence[ImageItem], names: Sequence[str]) -> dict[str, int]:
    """How many pictures have each fact."""
    return {name: sum(getattr(item, name) is not None for item in items) for name in names}
