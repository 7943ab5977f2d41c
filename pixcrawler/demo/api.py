"""Openverse's image search over a catalogue, as an anonymous client meets it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pixcrawler.demo.catalogue import Entry

PAGE_SIZE = 20
DEPTH = 240  # results an anonymous client can reach
BURST, SUSTAINED = 20, 200  # requests a minute and a day; announced, not enforced

Answer = tuple[int, dict[str, Any]]


def search(found: Sequence[Entry], asked: Mapping[str, str], records: Callable[[Sequence[Entry]], list[Any]]) -> Answer:
    """Status and body for `GET /v1/images/` with these parameters; `records` tells of the entries on a page."""
    wrong: dict[str, list[str]] = {}
    page = _number(asked, "page", 1, wrong)
    size = _number(asked, "page_size", PAGE_SIZE, wrong)
    if wrong:
        return 400, {"detail": wrong}
    if size > PAGE_SIZE:
        return 401, {"detail": f"page_size may not exceed {PAGE_SIZE} for anonymous requests"}
    if page * size > DEPTH:
        return 401, {"detail": f"pagination depth may not exceed {DEPTH} for anonymous requests"}
    found = found[:DEPTH]
    return 200, {
        "result_count": len(found),
        "page_count": -(-len(found) // size),
        "page_size": size,
        "page": page,
        "results": records(found[(page - 1) * size : page * size]),
    }


def rate_limits(requests: int) -> dict[str, str]:
    """The headers on every reply, after so many requests."""
    return {
        "x-ratelimit-limit-anon_burst": f"{BURST}/min",
        "x-ratelimit-available-anon_burst": str(BURST - requests % BURST),
        "x-ratelimit-limit-anon_sustained": f"{SUSTAINED}/day",
        "x-ratelimit-available-anon_sustained": str(SUSTAINED - requests % SUSTAINED),
    }


def _number(asked: Mapping[str, str], name: str, default: int, wrong: dict[str, list[str]]) -> int:
    text = asked.get(name, str(default))
    if not text.isascii() or not text.isdigit():
        wrong[name] = ["A valid integer is required."]
    elif int(text) < 1:
        wrong[name] = ["Ensure this value is greater than or equal to 1."]
    else:
        return int(text)
    return default


def matches(entry: Entry, query: str) -> bool:
    """Whether searching for this finds the entry."""
    return " ".join(query.strip(' "').casefold().split()) == entry.keyword.casefold()


def item(entry: Entry, base: str) -> dict[str, Any]:
    """What is told of an entry; `base` is the address before every path."""
    detail = f"{base}/v1/images/{entry.id}/"
    person = f"{base}/people/{entry.creator.split()[0].lower()}" if entry.creator else None
    words = entry.keyword.split()
    return {
        "id": entry.id,
        "title": entry.title,
        "indexed_on": "2025-03-14T09:26:53Z",
        "foreign_landing_url": landing_url(entry, base),
        "url": f"{base}{entry.path}",
        "creator": entry.creator,
        "creator_url": person,
        "license": entry.license.slug,
        "license_version": entry.license.version,
        "license_url": entry.license.url,
        "provider": "demo",
        "source": "demo",
        "category": "photograph" if entry.filetype else None,
        "filesize": entry.filesize,
        "filetype": entry.filetype,
        "tags": [{"accuracy": None, "name": word, "unstable__provider": "demo"} for word in words],
        "attribution": attribution(entry),
        "fields_matched": ["title"],
        "mature": False,
        "height": entry.height,
        "width": entry.width,
        "thumbnail": f"{detail}thumb/",
        "detail_url": detail,
        "related_url": f"{detail}related/",
        "unstable__sensitivity": [],
    }


def landing_url(entry: Entry, base: str) -> str:
    """The page that shows the picture."""
    return f"{base}/photos/{entry.id}"


def attribution(entry: Entry) -> str:
    """The ready line of credit, as Openverse words it."""
    work = f'"{entry.title}"' + (f" by {entry.creator}" if entry.creator else "")
    name, url = f"{entry.license.slug} {entry.license.version}".upper(), entry.license.url
    match entry.license.slug:
        case "cc0":
            return f"{work} is marked with {name}. To view the terms, visit {url}."
        case "pdm":
            return f"{work} is marked with Public Domain Mark 1.0. To view the terms, visit {url}."
        case _:
            return f"{work} is licensed under CC {name}. To view a copy of this license, visit {url}."
