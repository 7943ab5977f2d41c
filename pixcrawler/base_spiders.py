"""The shapes of sources. A source answers two questions, what do I ask and what was answered; the rest is done."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from html import unescape
from itertools import islice, product
from math import ceil
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, ClassVar
from urllib.parse import urlencode, urljoin, urlsplit

from scrapy.http import Request, Response
from w3lib.html import remove_tags

from pixcrawler.config import config, source_key
from pixcrawler.crawling import Arguments
from pixcrawler.errors import SourceRefused, UsageError
from pixcrawler.filters import Filter, Mappings, Parameters, misfit, parameters, refusal, span
from pixcrawler.flow import Flow, Page, local_request
from pixcrawler.items import ImageItem, Inspection
from pixcrawler.jobs import Spent
from pixcrawler.ledger import Run
from pixcrawler.lists import Line, read_lines
from pixcrawler.opt_outs import JUDGED, Kind
from pixcrawler.pauses import retry_after
from pixcrawler.rendering import rendered
from pixcrawler.rights import Policy, parse_policy
from pixcrawler.terms import Key, Robots, Source, Terms

__all__ = [
    "Arguments",
    "DatedSearch",
    "ImageSpider",
    "Key",
    "Page",
    "PagedSearch",
    "Robots",
    "Search",
    "Site",
    "Terms",
    "UrlList",
    "each",
    "engine_terms",
    "is_web_address",
    "rendered",
    "retry_after",
    "words_of",
]

LINE_END = re.compile(r"<(?:br|/p|/div|/li)\b[^>]*>", re.IGNORECASE)  # of markup: words do not run together there
SIGNS = re.compile(r'[-+!(){}\[\]^"~*?:\\/&|<>=]')
TEXTS = frozenset({"title", "creator", "attribution", "license"})
NUMBERS = frozenset({"width", "height", "filesize"})
BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36"
MOST_ADDRESSES = 50_000  # of one list: as many as a sitemap may name
DAY = 86_400  # seconds
UNREADABLE = (LookupError, TypeError, ValueError, AttributeError)  # what a record of another shape raises


def each(parameter: str, *values: str, **others: str) -> dict[str, Parameters]:
    """A filter whose values a source calls as we do, or otherwise: `teal="turquoise"`."""
    return {value: {parameter: name} for value, name in (dict(zip(values, values, strict=True)) | others).items()}


def words_of(keyword: str) -> str:
    """Its words alone, in small letters: in queries of Lucene's kind signs mean something, and so does OR."""
    return " ".join(SIGNS.sub(" ", keyword.lower()).split())


def engine_terms(url: str) -> Terms:
    """What those of a search engine come to."""
    return Terms(
        url,
        datasets="machines must not search; the pictures belong to the pages they are from",
        attribution="none of the search's own; pictures come without author and licence",
        robots=Robots.FORBIDDEN,
        consent="robots.txt forbids its search pages",
    )


class ImageSpider(Flow):
    """The base of all sources. One has a `name`, `base_url`, `terms`, and implements `page_request`, `read_page`."""

    base_url: str = ""
    delay: float = 0.0  # seconds between two page requests; not applied to an operator's own address
    first_cursor: ClassVar[Any] = None
    handle_httpstatus_list: ClassVar[Sequence[int]] = ()  # statuses besides 2xx that `read_page` understands
    extra_arguments: ClassVar[frozenset[str]] = frozenset()  # names the source adds; values are in `arguments.extra`

    terms: ClassVar[Terms]
    key: ClassVar[Key | None] = None  # without it the source does not answer
    as_browser: ClassVar[bool] = False  # it answers only who names a browser; who we are is said behind it
    cap: ClassVar[int | None] = None  # results it shows for one question at most, however many it has
    needs_list: ClassVar[bool] = False  # it is told where to look, not what for
    at_once: ClassVar[int | None] = None  # runs of it, over all nodes
    fields: ClassVar[tuple[str, ...]] = ()  # facts it tells of nearly every picture: a check misses them
    filters: ClassVar[Mappings] = {}
    joined_by: ClassVar[str] = ","  # between several filters in one parameter
    golden: ClassVar[str] = "mountain"  # what it has always pictures of: `pixcrawler sources check` asks for it

    def page_request(self, keyword: str, cursor: Any) -> Request:
        """What do I ask? `cursor` is `first_cursor`, or what the page before gave."""
        raise NotImplementedError

    def read_page(self, response: Response, keyword: str, cursor: Any) -> Page:
        """What was answered? Raises `SourceRefused` or `SourceSaysLater`; anything else fails the run too."""
        raise NotImplementedError

    def read_lookup(self, response: Response, keyword: str) -> list[ImageItem]:
        """What was answered to one of `Page.lookups`?"""
        raise NotImplementedError

    def instead(self, keyword: str, cursor: Any, reason: str) -> Page | None:
        """What to go on with when a page cannot be had; None: the run ends, for that reason."""
        return None

    def item(self, keyword: str, record: Any) -> ImageItem | None:
        """The picture a record of an answer is about; None: none of ours, such as an advertisement."""
        raise NotImplementedError

    async def prepare(self, run: Run) -> None:
        """Called once before the first page. Override to fetch what the pages need; raise `UsageError`."""

    @classmethod
    def check_arguments(cls, arguments: Arguments) -> None:
        """Raises `UsageError` when the source cannot work with these. Not called for a run of a job."""

    @classmethod
    def known(cls) -> Source:
        """What is known of the source without asking it."""
        return Source(cls.name, cls.terms, cls.key, cls.cap, cls.needs_list, cls.at_once, cls.fields, cls.filters)

    @property
    def keywords(self) -> tuple[str, ...]:
        """What to crawl for when there is no job."""
        return self.arguments.keywords

    def admit(self, options: Mapping[str, Any]) -> None:
        """Raises `UsageError` where the source must not or cannot be used, with these options of a job."""
        why = self.known().refusal(config().accept_terms, has_key=self.key is None or bool(source_key(self.key)))
        if why := why or refusal(self.name, self.filters, self.wanted(options)):
            raise UsageError(why)

    def wanted(self, options: Mapping[str, Any]) -> dict[str, str]:
        """The filters of the job, or those given with `-a`."""
        return dict(options.get("filters") or self.arguments.filters)

    @cached_property
    def narrowed(self) -> dict[str, str]:
        """The parameters of the source's query for filters and rights policy."""
        options = self.ledger.run.options
        policy = parse_policy(options.get("rights", self.arguments.rights))
        licence = {Filter.LICENCE: policy} if policy is not Policy.ANY else {}
        return parameters(self.filters, self.wanted(options) | licence, self.joined_by)

    def misfit(self, inspection: Inspection) -> str | None:
        """The filter that a picture does not fit, and its source could not be asked for; None: it fits."""
        wanted = self.wanted(self.ledger.run.options)
        return misfit(self.filters, wanted, inspection.width, inspection.height)

    def is_of_date(self, day: str) -> bool:
        """Whether a day, such as 2019-05-01 with or without a time, is within the date that is wanted."""
        wanted = self.wanted(self.ledger.run.options).get(Filter.DATE)
        since, until = span(wanted) if wanted else ("", "9999")
        return str(since) <= day[:10] <= str(until)

    def ask(self, path: str, query: Mapping[str, Any] | None = None, **headers: str) -> Request:
        """A request for a path of the source, or for another address; `query` without what is None.

        Headers are named with underscores: `accept_language="de"`.
        """
        asked = urlencode({name: value for name, value in (query or {}).items() if value is not None}, doseq=True)
        url = urljoin(f"{self.base_url}/", path)
        sent = {"Accept": "application/json"} | {name.replace("_", "-").title(): text for name, text in headers.items()}
        if self.as_browser:
            sent["User-Agent"] = f"{BROWSER} {config().user_agent}"
        return Request(f"{url}{'&' if '?' in url else '?'}{asked}" if asked else url, headers=sent)

    def items(self, keyword: str, records: Iterable[Any], claimed: int = 0) -> list[ImageItem]:
        """The pictures of an answer. A record that cannot be read is left out; raises `SourceRefused` if none can.

        It does so too if there are no records, though the source has `claimed` some.
        """
        found, broken, others = [], [], 0
        for record in records:
            try:
                item = self.item(keyword, record)
            except UNREADABLE as error:
                broken.append(f"{type(error).__name__}: {error}")
            else:
                found += [item] if item else []
                others += item is None
        if broken:
            message = f"{len(broken)} of {len(broken) + len(found) + others} records cannot be read ({broken[0]})"
            if not found:
                raise SourceRefused(message)
            self.logger.warning("%s: %s", self.name, message)
        if claimed and not found and not others:
            raise SourceRefused(f"tells of {claimed} pictures and shows none")
        return found

    def lookups(self, keyword: str, records: Iterable[Any], claimed: int = 0, **headers: str) -> list[Request]:
        """A question for each record, at the `url` of its `item`; what else the item knows goes along in `meta`."""
        found = self.items(keyword, records, claimed)
        return [self.ask(item.url, None, **headers).replace(meta=_known(item)) for item in found]

    def picture(self, keyword: str, url: str | None, **facts: Any) -> ImageItem:
        """An item; texts lose their markup, numbers may be texts, what is empty or no number is left out."""
        known = {name: _fact(name, value) for name, value in facts.items()}
        return ImageItem(url or "", self.name, keyword, **{name: value for name, value in known.items() if value})


def _known(item: ImageItem) -> dict[str, Any]:
    facts = {name: fact for name, fact in item.facts().items() if name not in ("url", "key", "source", "keyword")}
    return {"known": facts} if facts else {}


def _fact(name: str, value: Any) -> Any:
    if name in TEXTS:
        return plain(value)
    if name in NUMBERS:
        return _number(value)
    return value or None


def plain(text: Any) -> str | None:
    """The words of a text that may hold markup; None for what is no text or has none."""
    return " ".join(unescape(remove_tags(LINE_END.sub(" ", text))).split()) or None if isinstance(text, str) else None


def _number(value: Any) -> int | None:
    try:
        return int(value) if int(value) > 0 else None
    except (TypeError, ValueError):
        return None


class Search(ImageSpider):
    """A search for keywords. `cursor` is what the answer before says goes on: a token, or None at the beginning."""

    at_once: ClassVar[int | None] = 1  # `delay` is kept by a process, and the source counts all of them

    def search(self, keyword: str, cursor: Any, narrowed: Mapping[str, str]) -> Request:
        """What do I ask? `narrowed` are the parameters for filters."""
        raise NotImplementedError

    def found(self, response: Response, keyword: str, cursor: Any) -> Page:
        """What was answered? With `spent` set where there is no more."""
        raise NotImplementedError

    @cached_property
    def _tried(self) -> set[tuple[Any, ...]]:
        return set()

    def first_time(self, *about: Any) -> bool:
        """Whether this is met for the first time in this process: another one has to fetch cookies and tokens again."""
        known = about in self._tried
        self._tried.add(about)
        return not known

    def page_request(self, keyword: str, cursor: Any) -> Request:
        return self.search(keyword, cursor, self.narrowed)

    def read_page(self, response: Response, keyword: str, cursor: Any) -> Page:
        return self.found(response, keyword, cursor)

    @classmethod
    def check_arguments(cls, arguments: Arguments) -> None:
        if not arguments.keywords:
            raise UsageError(f'{cls.name} needs keywords, such as -a keywords="red panda,otter"')


class PagedSearch(Search):
    """A search with numbered pages, the first being 1: `search` and `found` get the page's number for `cursor`.

    Where a question brings more than the source shows, it is asked again in parts, see `split_by`; pages are then
    numbered through all of them.
    """

    first_cursor: ClassVar[Any] = 1
    page_size: ClassVar[int]
    cap: ClassVar[int]
    split_by: ClassVar[Mapping[str, Sequence[str]]] = {}  # parameters with values that together are everything

    @cached_property
    def parts(self) -> list[dict[str, str]]:
        """The whole question, then its parts: what a filter has narrowed already is not split."""
        free = {name: values for name, values in self.split_by.items() if name not in self.narrowed}
        return [{}, *(dict(zip(free, values, strict=True)) for values in product(*free.values()) if values)]

    def page_request(self, keyword: str, cursor: Any) -> Request:
        part, number = self._place(cursor)
        return self.search(keyword, number, {**self.narrowed, **self.parts[part]})

    def read_page(self, response: Response, keyword: str, cursor: Any) -> Page:
        part, number = self._place(cursor)
        page = self.found(response, keyword, number)
        page.cursor = cursor + 1
        if page.spent is None and number == self._pages:
            page.spent = Spent.CAPPED
        if page.spent and (part or page.spent is Spent.CAPPED):  # the whole, seen to its end, needs no parts
            page.spent = Spent.CAPPED
            if part + 1 < len(self.parts):
                page.spent, page.cursor = None, (part + 1) * self._pages + 1
        return page

    def _place(self, cursor: int) -> tuple[int, int]:
        part, index = divmod(cursor - 1, self._pages)
        return part, index + 1

    @property
    def _pages(self) -> int:
        return ceil(self.cap / self.page_size)


class DatedSearch(Search):
    """A search with numbered pages, the first being 1: `search` and `found` get the page's number for `cursor`.

    A question that brings more than the source shows is asked for each half of its time instead: `cursor` is a page's
    number, then the spans still to ask for, as Unix times with both ends included; without any, for all there is.
    """

    first_cursor: ClassVar[Any] = (1,)
    beginning: ClassVar[int]  # Unix time; the source has nothing older
    between: ClassVar[tuple[str, str]]  # the parameters for a span, which a filter has filled with days

    def page_request(self, keyword: str, cursor: Any) -> Request:
        page, *spans = cursor
        is_part = spans or self.between[0] in self.narrowed
        dates = dict(zip(self.between, map(str, self._span(spans)), strict=True)) if is_part else {}
        return self.search(keyword, page, {**self.narrowed, **dates})

    def read_page(self, response: Response, keyword: str, cursor: Any) -> Page:
        number, *spans = cursor
        page = self.found(response, keyword, number)
        page.cursor = [number + 1, *spans]
        if page.spent:
            since, until = self._span(spans)
            rest = spans[1:]
            if page.spent is Spent.CAPPED and since < until:
                middle = (since + until) // 2
                rest = [[middle + 1, until], [since, middle], *rest]
            page.cursor, page.spent = [1, *rest], None if rest else page.spent
        return page

    def _span(self, spans: Sequence[Sequence[int]]) -> Sequence[int]:
        """The first of some spans, else all the time a filter leaves."""
        since, until = (self.narrowed.get(name) for name in self.between)
        first = max(self.beginning, _midnight(since)) if since else self.beginning
        return spans[0] if spans else (first, _midnight(until) + DAY - 1 if until else int(time.time()))


def _midnight(day: str) -> int:
    return int(datetime.fromisoformat(f"{day}T00:00:00Z").timestamp())


class ListSpider(ImageSpider):
    """The base of sources that are told where to look, by a list in a file."""

    needs_list: ClassVar[bool] = True
    file: Path | None = None  # the list, once `prepare` has it
    folder: TemporaryDirectory[str] | None = None

    async def prepare(self, run: Run) -> None:
        key = run.options.get("list", "")
        self.file = self.arguments.list_file or (self._copied(key, await self.stored_file(key)) if key else None)

    def _copied(self, key: str, content: bytes) -> Path:
        self.folder = TemporaryDirectory(prefix="pixcrawler-")
        file = Path(self.folder.name, PurePosixPath(key).name)
        file.write_bytes(content)
        return file

    def closed(self, reason: str) -> None:
        if self.folder:
            self.folder.cleanup()

    def lines(self, start: int = 0) -> Iterator[tuple[int, Line]]:
        """The list's lines after the first `start`, each with the number of lines read by then."""
        assert self.file is not None
        return read_lines(self.file, start=start)

    @property
    def keywords(self) -> tuple[str, ...]:
        """Those given, or the name of the list."""
        file = self.arguments.list_file
        return self.arguments.keywords or ((file.name.split(".")[0] if file else "") or self.name,)

    @classmethod
    def check_arguments(cls, arguments: Arguments) -> None:
        if arguments.list_file is None:
            raise UsageError(f"{cls.name} needs a list, such as -a list=urls.txt")
        if not arguments.list_file.is_file():
            raise UsageError(f"list: there is no file {arguments.list_file}")


class UrlList(ListSpider):
    """A list of pictures in a file: `cursor` is the number of lines read. Its pages need no network."""

    first_cursor: ClassVar[Any] = 0
    page_size: ClassVar[int] = 1000  # lines booked at once

    def page_request(self, keyword: str, cursor: Any) -> Request:
        return local_request()


class Site(ListSpider):
    """Addresses of the web that lead to pictures, from a list or one by `-a url=`; each may lead to more addresses.

    `cursor` is how many addresses of the list were begun, followed by those still to visit of the last one; with one
    that was read in part stands how many of its finds were taken. An address that cannot be read is passed over,
    unless none can.
    """

    first_cursor: ClassVar[Any] = [0]
    delay = 0.5  # as a person who turns pages
    extra_arguments: ClassVar[frozenset[str]] = frozenset({"url"})
    accept: ClassVar[str] = "text/html,application/xhtml+xml,*/*;q=0.5"
    page_size: ClassVar[int] = 1000  # finds of an address that are taken at once

    def visit(self, response: Response, keyword: str) -> Iterator[ImageItem | Request | str]:
        """What is found at an address, in its order: pictures, look-ups, and further addresses to visit.

        It is read as far as it is wanted. Raises `SourceRefused` for what is not of the kind it should be.
        """
        raise NotImplementedError

    async def prepare(self, run: Run) -> None:
        await super().prepare(run)
        given = self.arguments.extra.get("url")
        lines = [] if self.file is None else [line for _, line in islice(self.lines(), MOST_ADDRESSES)]
        chosen = self.arguments.keywords or self.arguments.attempt
        self.addresses = {
            word: [given] if given else [line.url for line in lines if not chosen or line.fits(word)]
            for word in run.slices
        }
        self.visited: set[tuple[str, str]] = set()  # keyword and address
        self.under_way: dict[tuple[str, str, int], Iterator[ImageItem | Request | str]] = {}  # and finds taken
        self.anything_read = False

    def page_request(self, keyword: str, cursor: Any) -> Request:
        address, taken = self._place(keyword, cursor)
        if address is None or (keyword, address, taken) in self.under_way:
            return local_request()
        if not is_web_address(address):
            raise SourceRefused(f"{address!r} is no address")
        return self.visiting(Request(address, headers={"Accept": self.accept}))

    def visiting(self, request: Request) -> Request:
        """The request, as it is made of web pages: their owners are asked first."""
        return request.replace(meta=request.meta | {JUDGED: Kind.PAGE})

    def read_page(self, response: Response, keyword: str, cursor: Any) -> Page:
        address, taken = self._place(keyword, cursor)
        if address is None:
            return Page([], cursor, Spent.EXHAUSTED)
        finds = self.under_way.pop((keyword, address, taken), None)
        if finds is None:
            finds = islice(self.visit(response, keyword), taken, None)
        some = list(islice(finds, self.page_size))
        self.anything_read = True
        self.visited |= {(keyword, address), (keyword, response.url)}
        further = self._fresh(keyword, [find for find in some if isinstance(find, str)])
        if len(some) == self.page_size:
            taken += len(some)
            self.under_way[keyword, address, taken] = finds
            further.append([address, taken])
        page = self._after(keyword, cursor, further)
        page.items = [find for find in some if isinstance(find, ImageItem)]
        page.lookups = [self.visiting(find) for find in some if isinstance(find, Request)]
        return page

    def instead(self, keyword: str, cursor: Any, reason: str) -> Page | None:
        page = self._after(keyword, cursor, [])
        if page.spent and not self.anything_read:
            return None
        self.logger.warning("Passed over: %s (%s)", self._place(keyword, cursor)[0], reason)
        return page

    def _place(self, keyword: str, cursor: Any) -> tuple[str | None, int]:
        """The address to visit now, None at the end, and how many of its finds were taken."""
        begun, *rest = cursor
        place = (rest or self.addresses[keyword][begun : begun + 1] or [None])[0]
        return (place[0], place[1]) if isinstance(place, list) else (place, 0)

    def _fresh(self, keyword: str, addresses: list[str]) -> list[Any]:
        """Those not met before, which they are from now on."""
        fresh = [address for address in dict.fromkeys(addresses) if (keyword, address) not in self.visited]
        self.visited.update((keyword, address) for address in fresh)
        return fresh

    def _after(self, keyword: str, cursor: Any, further: list[Any]) -> Page:
        begun, *rest = cursor
        rest = [*further, *rest[1:]]
        begun += len(cursor) == 1
        more = rest or begun < len(self.addresses[keyword])
        return Page([], [begun, *rest], None if more else Spent.EXHAUSTED)

    @classmethod
    def check_arguments(cls, arguments: Arguments) -> None:
        given = arguments.extra.get("url")
        if given is None and arguments.list_file is None:
            raise UsageError(
                f"{cls.name} needs an address or a list, such as -a url=https://example.org or -a list=urls.txt"
            )
        if given is None:
            super().check_arguments(arguments)
        elif not is_web_address(given):
            raise UsageError(f"url: expected an address such as https://example.org/gallery, got {given!r}")


def is_web_address(text: str) -> bool:
    """Whether it can be asked for over HTTP."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
