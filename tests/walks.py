"""Walks through a source's pages without crawling a picture: the questions as they leave, the answers as they come."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from scrapy.crawler import Crawler
from scrapy.http import Request, Response
from scrapy.responsetypes import responsetypes
from scrapy.settings import Settings

from pixcrawler.asking import checked
from pixcrawler.base_spiders import ImageSpider, ListSpider, Page
from pixcrawler.config import Config, config
from pixcrawler.crawling import ASKED, LOCAL
from pixcrawler.errors import PixCrawlerError, SourceSaysLater
from pixcrawler.items import ImageItem
from pixcrawler.jobs import AttemptState, Outcome, Spent
from pixcrawler.local_ledger import LocalLedger
from pixcrawler.middlewares.keys import key_of, with_key
from pixcrawler.sources import spiders

SECRET = "k3y-0f-th3-0perat0r"
REDIRECTS = 4


@dataclass
class Walk:
    """How a walk went."""

    items: dict[str, ImageItem] = field(default_factory=dict)  # by key
    spent: Spent | None = None
    pages: int = 0
    cursors: list[Any] = field(default_factory=list)
    pauses: int = 0  # answers that meant "later"
    passed_over: list[str] = field(default_factory=list)  # pages and look-ups that could not be read


def spider_of(source: str, folder: Path, monkeypatch: pytest.MonkeyPatch, **arguments: str) -> ImageSpider:
    """A spider as `scrapy crawl` makes it, admitted, with a ledger of its own."""
    kind = spiders()[source]
    monkeypatch.setenv("PIXCRAWLER_ACCEPT_TERMS", source)
    if kind.key:
        monkeypatch.setenv(kind.key.variable, SECRET)
    config.cache_clear()
    spider = kind.from_crawler(Crawler(kind, Settings()), **arguments)
    spider.ledger = LocalLedger(Config(data_dir=folder), source, spider.keywords, None)
    asyncio.run(spider.prepare(spider.ledger.run))
    return spider


@contextmanager
def walking(source: str, folder: Path, monkeypatch: pytest.MonkeyPatch, **arguments: str) -> Iterator[ImageSpider]:
    """The spider within a `with` block."""
    spider = spider_of(source, folder, monkeypatch, **arguments)
    try:
        yield spider
    finally:
        asyncio.run(spider.ledger.close(Outcome(AttemptState.SUCCEEDED)))
        if isinstance(spider, ListSpider):
            spider.closed("finished")
        config.cache_clear()


def walk(spider: ImageSpider, keyword: str, most_pages: int = 2_000, *, look_up: bool = True) -> Walk:
    """Reads page after page until there is no more. Raises what ends a run.

    Without look-ups each of them counts as a picture.
    """
    done, cursor = Walk(), spider.first_cursor
    with httpx.Client(timeout=30) as client:
        while done.spent is None and done.pages < most_pages:
            page = _page(spider, client, keyword, cursor, done)
            looked_up = _looked_up(spider, client, keyword, page, done) if look_up else _assumed(spider, keyword, page)
            for item in [*page.items, *looked_up]:
                done.items.setdefault(item.key, item)
            cursor, done.spent = page.cursor, page.spent
            done.cursors.append(cursor)
            done.pages += 1
    return done


def _page(spider: ImageSpider, client: httpx.Client, keyword: str, cursor: Any, done: Walk) -> Page:
    while True:
        try:
            response = _answer(spider, client, spider.page_request(keyword, cursor))
            return spider._read(response, spider.read_page, keyword, cursor)
        except SourceSaysLater:
            done.pauses += 1
            assert done.pauses < 5
        except PixCrawlerError as error:
            page = spider.instead(keyword, cursor, str(error))
            if page is None:
                raise
            done.passed_over.append(str(error))
            return page


def _assumed(spider: ImageSpider, keyword: str, page: Page) -> Iterator[ImageItem]:
    return (ImageItem(request.url, spider.name, keyword) for request in page.lookups)


def _looked_up(spider: ImageSpider, client: httpx.Client, keyword: str, page: Page, done: Walk) -> Iterator[ImageItem]:
    failure, anything = None, False
    for request in page.lookups:
        while True:
            try:
                response = _answer(spider, client, request.copy())
                items = spider._read(response, spider.read_lookup, keyword)
            except SourceSaysLater:
                done.pauses += 1
                assert done.pauses < 5
                continue
            except PixCrawlerError as error:
                done.passed_over.append(str(error))
                failure = error
            else:
                anything = anything or bool(items)
                yield from items
            break
    if failure and not anything:
        raise failure


def _answer(spider: ImageSpider, client: httpx.Client, request: Request) -> Response:
    """The answer as a spider gets it: redirects followed, cookies kept, the key on its way only."""
    if request.meta.get(LOCAL):
        return Response(request.url, request=request)
    request.meta[ASKED] = True
    for _ in range(REDIRECTS):
        key = key_of(request, spider)
        leaving = with_key(request, key) if key else request
        headers = {"User-Agent": config().user_agent} | dict(leaving.headers.to_unicode_dict())
        got = client.request(leaving.method, leaving.url, headers=headers, content=leaving.body or None)
        if not got.has_redirect_location:
            break
        request = request.replace(url=str(got.next_request.url).replace(SECRET, ""), method="GET", body=b"")
    headers = {name: value for name, value in got.headers.multi_items() if name.lower() != "content-encoding"}
    kind = responsetypes.from_args(headers=Response("", headers=headers).headers, url=request.url, body=got.content)
    response = kind(request.url, got.status_code, headers, got.content, request=request)
    return checked(response, spider.handle_httpstatus_list)
