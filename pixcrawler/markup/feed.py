"""Feeds, RSS and Atom: the pictures of their entries, and the page that comes next."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import feedparser
from parsel import Selector

from pixcrawler.errors import SourceRefused
from pixcrawler.markup import Facts, absolute, html, is_picture, number

LIMIT = 3 * 2**20  # bytes; feedparser takes a second, ten where entries are tiny, and nothing else happens meanwhile
MAKERS = ("photographer", "author", "creator", "artist", "")  # roles of media:credit, the best first


def parsed(body: bytes, base: str) -> Any:
    """The feed at `base`. Raises `SourceRefused` for what is none."""
    if len(body) > LIMIT:
        raise SourceRefused(f"the feed has {len(body):,} bytes, more than are read")
    feed = feedparser.parse(
        BytesIO(body),  # bytes alone would be taken for the name of a file
        response_headers={"content-location": base, "content-type": "application/xml"},
        sanitize_html=False,  # only addresses are read
        resolve_relative_uris=False,
    )
    if not feed.get("version") or (feed.bozo and not feed.entries):  # an empty one is at least well-formed
        raise SourceRefused("is no feed")
    feed.grouped = b":group" in body
    return feed


def pictures(feed: Any, base: str) -> Iterator[Facts]:
    """The pictures of the entries, in their order; of several forms of one picture the largest."""
    licence = _licence(feed.feed)
    for entry in feed.entries:
        common = {"license_url": licence} | _about(entry, base)
        for facts in _of_entry(entry, base, grouped=feed.grouped):
            url = absolute(base, facts["url"])
            if url:
                yield {name: value for name, value in (common | facts | {"url": url}).items() if value}


def next_page(feed: Any, base: str) -> str | None:
    """Where older entries are: the feed says so itself, or is one of WordPress, which takes a page's number."""
    if said := _link(feed.feed, "next"):
        return absolute(base, said)
    if not feed.entries or "wordpress.org" not in feed.feed.get("generator", ""):
        return None
    place = urlsplit(base)
    query = dict(parse_qsl(place.query))
    query["paged"] = str(int(number(query.get("paged", 1))) + 1)
    return place._replace(query=urlencode(query)).geturl()


def is_behind_the_last(address: str) -> bool:
    """Whether WordPress has nothing at an address because there are no more entries."""
    return "paged" in dict(parse_qsl(urlsplit(address).query))


def _of_entry(entry: Any, base: str, *, grouped: bool) -> list[Facts]:
    """The pictures of an entry, from the first place that has any: the others have the same once more, smaller."""
    media = [_content(one) for one in entry.get("media_content", []) if _is_image(one)]
    if grouped and media:
        return [max(media, key=lambda one: number(one["width"]) * number(one["height"]))]
    enclosures = [_enclosure(one) for one in entry.get("enclosures", []) if _is_image(one)]
    return media or enclosures or _embedded(entry, base) or _thumbnails(entry)


def _is_image(thing: Any) -> bool:
    said = thing.get("type") or thing.get("medium") or ""
    return said.startswith("image") or (not said and is_picture(thing.get("url") or thing.get("href") or ""))


def _content(content: Any) -> Facts:
    return {
        "url": content.get("url"),
        "width": content.get("width"),
        "height": content.get("height"),
        "mime": content.get("type"),
        "filesize": content.get("filesize"),
    }


def _enclosure(enclosure: Any) -> Facts:
    return {"url": enclosure.get("href"), "mime": enclosure.get("type")}  # `length` is often made up


def _embedded(entry: Any, base: str) -> list[Facts]:
    texts = [content.get("value") for content in entry.get("content", [])] or [entry.get("summary")]
    return [facts for text in texts if text for facts in html.pictures(Selector(text), base)]


def _thumbnails(entry: Any) -> list[Facts]:
    sizes = sorted(map(_content, entry.get("media_thumbnail", [])), key=lambda one: number(one["width"]))
    return sizes[-1:]


def _about(entry: Any, base: str) -> Facts:
    said = {
        "page_url": absolute(base, entry.get("link")),
        "title": entry.get("title"),
        "creator": _credit(entry) or entry.get("author_detail", {}).get("name") or entry.get("author"),
        "creator_url": absolute(base, entry.get("author_detail", {}).get("href")),
        "license_url": _licence(entry),
        "source_id": entry.get("id"),
    }
    return {name: value for name, value in said.items() if value}


def _credit(entry: Any) -> str | None:
    by_role = {credit.get("role", ""): credit.get("content") for credit in entry.get("media_credit", [])}
    return next((by_role[role] for role in MAKERS if by_role.get(role)), None)


def _licence(thing: Any) -> str | None:
    media = thing.get("media_license", {})
    return _link(thing, "license") or media.get("href") or media.get("content")


def _link(thing: Any, rel: str) -> str | None:
    return next((link["href"] for link in thing.get("links", []) if link.get("rel") == rel and "href" in link), None)
