"""Sitemaps: the pictures of their image extension, and the sitemaps an index names."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from itertools import islice
from typing import Any

from lxml import etree
from scrapy.utils.gz import gunzip

from pixcrawler.errors import SourceRefused
from pixcrawler.markup import Facts, absolute

LIMIT = 50 * 2**20  # bytes unpacked, and
MOST_ENTRIES = 50_000  # of one sitemap: no more by the protocol
STRAY = re.compile(rb"&(?!#?\w{1,10};)")
ROOTS = ("urlset", "sitemapindex")
TAGS = [f"{{*}}{name}" for name in (*ROOTS, "url", "sitemap")]


def finds(body: bytes, base: str) -> Iterator[Facts | str]:
    """The pictures of a sitemap, and the addresses of further ones, read as far as they are wanted.

    Raises `SourceRefused` for what is no sitemap, or names neither pages nor sitemaps as it should.
    """
    found = unread = 0
    for entry in islice(_entries(_unpacked(body)), MOST_ENTRIES):
        for find in _of_entry(entry, base):
            if find is None:
                unread += 1
            else:
                found += 1
                yield find
    if unread and not found:
        raise SourceRefused("the sitemap does not say where anything is")


def _unpacked(body: bytes) -> bytes:
    if not body.startswith(b"\x1f\x8b"):
        return body
    try:
        return gunzip(body, max_size=LIMIT)
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        raise SourceRefused(f"the sitemap cannot be unpacked ({error})") from error


def _entries(content: bytes) -> Iterator[Any]:
    """Each <url> and <sitemap>, gone again once the next one is asked for."""
    if b"<!ENTITY" in content:
        raise SourceRefused("the sitemap declares entities, which none needs")
    whole = BytesIO(STRAY.sub(b"&amp;", content))
    parser = etree.iterparse(whole, events=("start", "end"), tag=TAGS, recover=True)
    root = None
    try:
        for event, element in parser:
            if root is None:
                root = element
                if _name(root) not in ROOTS:
                    break
            elif event == "end" and element is not root:
                yield element
                _forget(element)
    except etree.XMLSyntaxError as error:
        raise SourceRefused(f"the sitemap is no XML ({error})") from error
    if root is None or _name(root) not in ROOTS:
        raise SourceRefused("is no sitemap")


def _forget(element: Any) -> None:
    element.clear()
    while element.getprevious() is not None:
        del element.getparent()[0]


def _of_entry(entry: Any, base: str) -> Iterator[Facts | str | None]:
    """What an entry leads to; None for what does not say where it is."""
    place = absolute(base, _texts(entry).get("loc"))
    if _name(entry) == "sitemap" or place is None:
        yield place
    for image in entry.iterchildren("{*}image"):
        said = _texts(image)
        url = absolute(base, said.get("loc"))
        facts = {
            "url": url,
            "page_url": place,
            "title": said.get("title") or said.get("caption"),
            "license_url": absolute(base, said.get("license")),
        }
        yield facts if url else None


def _texts(element: Any) -> dict[str, str]:
    return {_name(child): child.text for child in element if isinstance(child.tag, str) and child.text}


def _name(element: Any) -> str:
    return str(etree.QName(element).localname)
