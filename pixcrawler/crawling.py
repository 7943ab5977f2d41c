"""What is between a spider, its pipelines and Scrapy: arguments, the items in flight, and how items are refused."""

from __future__ import annotations

import asyncio
import builtins
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn, Self
from urllib.parse import urlsplit

import scrapy
from scrapy.exceptions import DropItem
from scrapy.exceptions import UsageError as WrongCommand
from scrapy.settings import BaseSettings
from scrapy.spiderloader import SpiderLoader
from scrapy.utils.spider import iter_spider_classes

from pixcrawler.duplicates import Wanted, parse_options
from pixcrawler.errors import PixCrawlerError, UsageError
from pixcrawler.filters import GIVEN, parse_filters
from pixcrawler.items import ImageItem
from pixcrawler.jobs import Reason, parse_keywords, parse_max_images
from pixcrawler.quality import parse_preset
from pixcrawler.rights import Policy, parse_policy

BREAK_OFF = object()  # the signal to end downloads under way
ASKED = "asked"  # in a request's meta: a question to the source itself, with its key and cookies
LOCAL = "local"  # in a request's meta: answered without network
ATTEMPT = re.compile(r"\d+-\d+")
KNOWN_ARGUMENTS = frozenset(
    {"keywords", "max_images", "base_url", "list", "quality", "duplicates", "flips", "rights", "_job", *GIVEN}
)

IN_FLIGHT = 128  # items; each may hold a body. While half of them wait for a decision the others are fetched
BEGUN_AT_LEAST = 4  # of the places there are, one in so many is waited for: each beginning is a transaction
HOST_SHARE = IN_FLIGHT // 2  # of one host: one that hangs, or wants a pause, must not hold up all others
LEAST_IN_FLIGHT = 16  # per keyword: the last missing picture must not be waited for one candidate at a time


class Rejected(DropItem):
    """Raised by a pipeline that will not have an item; the funnel counts its reason."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason.value, log_level="DEBUG")  # the funnel tells it; a line each floods the log
        self.reason = reason
        self.detail = detail


class Decided(DropItem):
    """Raised by a pipeline for an item the ledger has refused and booked itself."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value, log_level="DEBUG")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Arguments:
    """What was given with `-a`."""

    keywords: tuple[str, ...]
    max_images: int | None  # None: all there are
    base_url: str | None
    list_file: Path | None
    quality: str | None  # a preset's name
    duplicates: Wanted
    rights: Policy
    filters: Mapping[str, str]  # see `filters`
    attempt: str | None  # "<run>-<attempt>": the rest is read from the database
    extra: Mapping[str, str]  # what the source adds

    @classmethod
    def parse(cls, given: Mapping[str, str], extra: frozenset[str]) -> Arguments:
        """Raises `UsageError` naming the argument that is wrong."""
        _check_names(given, extra)
        job = given.get("_job", "")
        attempt = job if ATTEMPT.fullmatch(job) else None
        if attempt and len(given) > 1:
            raise UsageError(f"a run of a job ({job}) takes no other arguments")
        return cls(
            keywords=tuple(parse_keywords(given["keywords"].split(","))) if "keywords" in given else (),
            max_images=_max_images(given["max_images"]) if "max_images" in given else None,
            base_url=_base_url(given["base_url"]) if "base_url" in given else None,
            list_file=_list_file(given["list"]) if "list" in given else None,
            quality=parse_preset(given["quality"]) if "quality" in given else None,
            duplicates=_duplicates(given),
            rights=parse_policy(given.get("rights", Policy.ANY)),
            filters=parse_filters({name: value for name, value in given.items() if name in GIVEN}),
            attempt=attempt,
            extra={name: value for name, value in given.items() if name in extra},
        )


def _check_names(given: Iterable[str], extra: frozenset[str]) -> None:
    known = KNOWN_ARGUMENTS | extra
    for name in given:
        if name not in known:
            raise UsageError(f"unknown argument {name!r}; known are {', '.join(sorted(known - {'_job'}))}")


def _max_images(text: str) -> int:
    try:
        return parse_max_images(int(text))
    except ValueError:
        raise UsageError(f"max_images: expected a whole number, got {text!r}") from None


def _base_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise UsageError(f"base_url: expected an address such as http://127.0.0.1:8000, got {text!r}")
    return text


def _duplicates(given: Mapping[str, str]) -> Wanted:
    options: dict[str, Any] = {"duplicates": given["duplicates"]} if "duplicates" in given else {}
    if "flips" in given:
        options["flips"] = {"true": True, "false": False}.get(given["flips"], given["flips"])
    return Wanted.of(parse_options(options))


def _list_file(text: str) -> Path:
    if not text or "\0" in text:
        raise UsageError(f"list: expected the name of a file, got {text!r}")
    return Path(text).expanduser().absolute()


def leave(error: PixCrawlerError) -> NoReturn:
    """Ends the process with one line, before anything has been started."""
    print(f"pixcrawler: {error}", file=sys.stderr)
    raise SystemExit(2)


class Sources:
    """Finds spiders as Scrapy does, but one by the file of its name: loading all others takes time at every start."""

    def __init__(self, settings: BaseSettings) -> None:
        self._settings = settings

    @classmethod
    def from_settings(cls, settings: BaseSettings) -> Self:
        return cls(settings)

    def load(self, spider_name: str) -> type[scrapy.Spider]:
        """The spider; whoever asks for one that is not there is told of those that are."""
        try:
            return self._alone(spider_name) or self._all.load(spider_name)
        except KeyError:
            raise WrongCommand(f"unknown source {spider_name!r}; known are {', '.join(sorted(self.list()))}") from None

    def list(self) -> list[str]:
        return self._all.list()

    def find_by_request(self, request: scrapy.Request) -> builtins.list[str]:
        return self._all.find_by_request(request)

    @cached_property
    def _all(self) -> SpiderLoader:
        return SpiderLoader(self._settings)

    def _alone(self, name: str) -> type[scrapy.Spider] | None:
        paths = (f"{package}.{name}" for package in self._settings.getlist("SPIDER_MODULES") if name.isidentifier())
        modules = (import_module(path) for path in paths if find_spec(path))
        spiders = chain.from_iterable(map(iter_spider_classes, modules))
        return next((spider for spider in spiders if spider.name == name), None)


class Window:
    """The items in flight, over all keywords and for each: begun, and not yet scraped, dropped or failed."""

    def __init__(self) -> None:
        self._keywords: dict[str, str] = {}  # item key → keyword
        self._counts: Counter[str] = Counter()
        self._hosts: Counter[str] = Counter()
        self._changed = asyncio.Event()

    def room(self, keyword: str, missing: int) -> int:
        """How many items may begin now; none rather than a few."""
        places = min(max(LEAST_IN_FLIGHT, 2 * missing), IN_FLIGHT)
        free = min(places - self._counts[keyword], IN_FLIGHT - len(self._keywords))
        return free if free >= places // BEGUN_AT_LEAST else 0

    def enough(self, keyword: str, missing: int) -> bool:
        """Whether what is in flight may well bring all that is missing, so that no page need be asked for."""
        return self._counts[keyword] >= min(2 * missing, IN_FLIGHT) or len(self._keywords) >= IN_FLIGHT

    def crowded(self, host: str) -> bool:
        """Whether so many items of a host are in flight that others come first."""
        return self._hosts[host] >= HOST_SHARE

    def enter(self, items: Iterable[ImageItem]) -> None:
        """Begins the flight of items; a second time is no harm."""
        for item in items:
            if item.key not in self._keywords:
                self._keywords[item.key] = item.keyword
                self._counts[item.keyword] += 1
                self._hosts[item.host] += 1

    def release(self, item: ImageItem) -> None:
        """Ends an item's flight; a second time is no harm."""
        keyword = self._keywords.pop(item.key, None)
        if keyword is not None:
            self._counts[keyword] -= 1
            self._hosts[item.host] -= 1
            if not self._hosts[item.host]:
                del self._hosts[item.host]
            self.wake()

    def __contains__(self, item: ImageItem) -> bool:
        """Whether the item is in flight."""
        return item.key in self._keywords

    def wake(self) -> None:
        """Lets everybody look again who waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def change(self) -> None:
        """Waits until an item has ended, or `wake`."""
        await self._changed.wait()

    @property
    def busy(self) -> bool:
        """Whether anything is in flight."""
        return bool(self._keywords)
