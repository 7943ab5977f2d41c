"""Sources' keys: put on a request where it leaves, so that nobody before the network sees one."""

from __future__ import annotations

import logging
from urllib.parse import urlencode, urlsplit

from scrapy.http import Request, Response
from w3lib.url import url_query_cleaner

from pixcrawler.base_spiders import ImageSpider, Key
from pixcrawler.config import source_key
from pixcrawler.crawling import ASKED
from pixcrawler.items import DEFAULT_PORTS


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


class HidesKey(logging.Filter):
    """Keeps a key out of what is logged of requests on their way."""

    def __init__(self, key: Key) -> None:
        super().__init__()
        self._key = key

    def filter(self, record: logging.LogRecord) -> bool:
        secret = source_key(self._key)
        message = record.getMessage()
        if secret and (hidden := secret.get_secret_value()) in message:
            record.msg, record.args = message.replace(hidden, "…"), ()
        return True


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or DEFAULT_PORTS.get(parts.scheme)
