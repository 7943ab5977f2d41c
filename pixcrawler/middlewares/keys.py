"""Sources' keys: put on a request where it leaves, so that nobody before the network sees one."""

from __future__ import annotations

import logging
import re
from urllib.parse import quote, quote_plus, urlencode, urlsplit

from pydantic import SecretStr
from scrapy.crawler import Crawler
from scrapy.http import Request, Response
from w3lib.url import url_query_cleaner

from pixcrawler.base_spiders import ImageSpider, Key
from pixcrawler.config import source_key
from pixcrawler.crawling import ASKED
from pixcrawler.items import DEFAULT_PORTS

HIDDEN = "…"  # in place of a key


def key_of(request: Request, source: ImageSpider) -> Key | None:
    """The key a request needs: only questions to the source itself, wherever redirects lead."""
    asks_source = request.meta.get(ASKED) and _origin(request.url) == _origin(source.base_url)
    return source.key if asks_source else None


def with_key(request: Request, key: Key) -> Request:
    """The request as it leaves."""
    secret = source_key(key)
    assert secret is not None  # the source was admitted
    if key.header:
        headers = request.headers.copy()
        headers[key.header] = key.prefix + secret.get_secret_value()
        return request.replace(headers=headers)
    query = urlencode({key.parameter: secret.get_secret_value()})
    return request.replace(url=f"{request.url}{'&' if '?' in request.url else '?'}{query}")


def without_key(response: Response, request: Request, key: Key) -> Response:
    """The answer as if the request had left without it; a redirect may repeat the query."""
    headers = response.headers.copy()
    if key.parameter and "Location" in headers:
        address = headers["Location"].decode("latin-1")  # type: ignore[union-attr]  # it is there
        headers["Location"] = url_query_cleaner(address, [key.parameter], remove=True)
    return response.replace(url=request.url, headers=headers)


class KeyMiddleware:
    """Takes a key out of what its source answers: some repeat it, and what they say is written down."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> KeyMiddleware:
        return cls(crawler)

    def process_response(self, request: Request, response: Response) -> Response:
        spider = self.crawler.spider
        key = key_of(request, spider) if isinstance(spider, ImageSpider) else None
        secret = source_key(key) if key else None
        if secret is None:
            return response
        body = re.sub(_ways_to_write(secret).encode(), HIDDEN.encode(), response.body)
        return response.replace(body=body) if body != response.body else response


class HidesKey(logging.Filter):
    """Keeps a key out of what is logged of requests on their way."""

    def __init__(self, key: Key) -> None:
        super().__init__()
        self._key = key

    def filter(self, record: logging.LogRecord) -> bool:
        if secret := source_key(self._key):
            record.msg, record.args = re.sub(_ways_to_write(secret), HIDDEN, record.getMessage()), ()
        return True


def _ways_to_write(secret: SecretStr) -> str:
    """A pattern for the key by itself and within addresses."""
    text = secret.get_secret_value()
    return "|".join(f"(?i:{re.escape(way)})" for way in (text, quote(text, safe=""), quote_plus(text)))


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or DEFAULT_PORTS.get(parts.scheme)
