"""How a run proceeds: what earlier attempts left, then pages, never more in flight than may be. No source looks in."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, TypeVar

import scrapy
from scrapy.crawler import Crawler
from scrapy.http import Request, Response

from pixcrawler import logs
from pixcrawler.asking import Asker
from pixcrawler.config import config
from pixcrawler.crawling import LOCAL, Arguments, Window, leave
from pixcrawler.errors import DatabaseUnavailable, LeaseLost, PixCrawlerError, SourceRefused, UsageError
from pixcrawler.items import ImageItem
from pixcrawler.jobs import AttemptState, Outcome, Spent
from pixcrawler.ledger import Ledger, Run
from pixcrawler.pauses import Pauses

KNOWN_IN_A_ROW = 5_000  # results that bring nothing new; a retried job passes what it knows, which is seldom more
LEAST_PAGE = 20  # an empty page counts as a small one
LOOKUPS_AT_ONCE = 8  # of one keyword, as many as a browser opens; a source's delay lies between their beginnings
LOOK_AHEAD = 64  # items passed over in the search for more whose host may be asked, once there are some

T = TypeVar("T")

END_LEVELS = {AttemptState.FAILED: logging.ERROR, AttemptState.CANCELLED: logging.INFO}


@dataclass(slots=True)
class Page:
    """What one request to a source brought."""

    items: list[ImageItem]
    cursor: Any = None  # JSON: where the next page begins
    spent: Spent | None = None  # set: there is no next page
    lookups: list[Request] = field(default_factory=list)  # to be asked for one picture or a few each, then it is over


@dataclass(slots=True)
class Share:
    """How far one keyword has come in this process."""

    keyword: str
    cursor: Any
    spent: Spent | None
    known_in_a_row: int = 0  # results since the last one that was new
    waiting: deque[ImageItem] = field(default_factory=deque)  # booked, not yet begun
    page: Page | None = None  # read, and not yet booked: its look-ups go on
    looked_up: bool = False  # one of them has brought a picture
    failed: Outcome | None = None  # of one that has not been answered well


class Flow(scrapy.Spider):
    """A spider without a source: `base_spiders.ImageSpider` adds the questions."""

    base_url: str = ""
    delay: float = 0.0
    first_cursor: ClassVar[Any] = None
    handle_httpstatus_list: ClassVar[Sequence[int]] = ()
    extra_arguments: ClassVar[frozenset[str]] = frozenset()

    # Given by extensions.progress before the start.
    ledger: Ledger
    lease_lost: Callable[[LeaseLost], None]  # ends the process without a word to the database
    stored_file: Callable[[str], Awaitable[bytes]]  # reads a storage key

    _asker: Asker

    def page_request(self, keyword: str, cursor: Any) -> Request:
        raise NotImplementedError

    def read_page(self, response: Response, keyword: str, cursor: Any) -> Page:
        raise NotImplementedError

    def read_lookup(self, response: Response, keyword: str) -> list[ImageItem]:
        raise NotImplementedError

    def instead(self, keyword: str, cursor: Any, reason: str) -> Page | None:
        raise NotImplementedError

    def admit(self, options: Mapping[str, Any]) -> None:
        raise NotImplementedError

    async def prepare(self, run: Run) -> None:
        raise NotImplementedError

    @classmethod
    def check_arguments(cls, arguments: Arguments) -> None:
        raise NotImplementedError

    def __init__(self, **arguments: str) -> None:
        super().__init__()
        self.arguments = Arguments.parse(arguments, self.extra_arguments)
        if address := self.arguments.base_url or config().base_url(self.name):
            self.base_url = address.rstrip("/")
            self.delay = 0.0
        self.outcome: Outcome | None = None  # set: the run ends, for this reason
        self.run: Run | None = None
        self.window = Window()
        self.pauses = Pauses()
        self.shares: dict[str, Share] = {}  # by keyword
        self._suspects: list[ImageItem] = []
        self._ready: asyncio.Queue[ImageItem | None] = asyncio.Queue()
        if not self.arguments.attempt:
            self.check_arguments(self.arguments)
            self.admit({})

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> Self:
        try:
            spider = super().from_crawler(crawler, *args, **kwargs)
        except UsageError as error:
            leave(error)
        spider._asker = Asker(crawler, spider.name, spider.delay, lambda: spider.stopping)
        return spider

    def end(self, outcome: Outcome) -> None:
        """Ends the run: nothing new is begun, what is in flight is finished. The first outcome counts."""
        if self.outcome is None:
            self.logger.log(END_LEVELS.get(outcome.state, logging.WARNING), "Ending: %s", outcome.reason)
            self.outcome = outcome
            self.window.wake()

    def fail(self, reason: str) -> None:
        """Ends the run as failed."""
        self.end(Outcome(AttemptState.FAILED, reason))

    @property
    def stopping(self) -> bool:
        """Whether nothing new may begin: the run has an outcome, or somebody stopped the process."""
        return self.outcome is not None or not self.crawler.engine.running

    async def start(self) -> AsyncIterator[Request]:
        """Yields one request that needs no network: items must come from a callback, or closing is late or hangs."""
        try:
            self.run = await self.ledger.open()
            if self.run is None:
                self.logger.info("Nothing to crawl: the attempt is not ours, or its job has ended")
            else:
                logs.identify(job=self.run.job, trace=self.run.trace)
                self.admit(self.run.options)
                await self.prepare(self.run)
        except PixCrawlerError as error:
            self.give_up(error)
        if self.run is not None and self.outcome is None:
            yield local_request(callback=self.crawl)

    async def crawl(self, response: Response) -> AsyncIterator[ImageItem]:
        """Yields every item of the run as soon as it may be in flight."""
        work = asyncio.create_task(self._work())
        while (item := await self._ready.get()) is not None:
            yield item
        await work

    async def _work(self) -> None:
        await self._or_end(self._resume())
        await asyncio.gather(self._or_end(self._try_suspects()), self._or_end(self._all_keywords()))
        self._ready.put_nowait(None)

    async def _or_end(self, work: Awaitable[None]) -> None:
        """Awaits a part of the work; what it raises ends the run."""
        try:
            await work
        except Exception as error:
            if not isinstance(error, PixCrawlerError):
                self.logger.exception("An error of our own")
            self.give_up(error)

    def give_up(self, error: BaseException) -> None:
        """Ends the run because of an error that is no fault of a picture."""
        message = str(error).partition("\n")[0]
        if isinstance(error, LeaseLost):
            self.lease_lost(error)
        elif isinstance(error, DatabaseUnavailable):
            self.end(Outcome(AttemptState.LOST, message))
        elif isinstance(error, PixCrawlerError):
            self.fail(message)
        else:
            self.fail(f"{type(error).__name__}: {message}")

    async def _resume(self) -> None:
        """Takes up every keyword where the attempt before has left it, and what it has left open."""
        assert self.run is not None
        for keyword, part in self.run.slices.items():
            cursor = self.first_cursor if part.cursor is None else part.cursor
            self.shares[keyword] = Share(keyword, cursor, part.spent)
        self._suspects, others = await self.ledger.open_candidates()
        for item in others:
            self.shares[item.keyword].waiting.append(item)

    async def _try_suspects(self) -> None:
        """Beside everything else, one at a time what was in flight at a death: the next death blames this one."""
        for item in self._suspects:
            if self.stopping or not self.ledger.missing(item.keyword):
                continue
            await self._begin([item])
            while item in self.window and not self.stopping:
                await self.window.change()

    async def _all_keywords(self) -> None:
        keywords = list(self.shares)
        while keywords and not self.stopping:
            await asyncio.gather(*(self._or_end(self._one_keyword(self.shares[keyword])) for keyword in keywords))
            await self._settle()
            keywords = [] if self.stopping else self._take_up_again(self.ledger.top_up())

    def _take_up_again(self, spare: dict[str, list[ImageItem]]) -> list[str]:
        for keyword, items in spare.items():
            self.shares[keyword].waiting.extendleft(reversed(items))
        return list(spare)

    async def _one_keyword(self, share: Share) -> None:
        """Goes on until the keyword has what it wants or its source has no more."""
        while not self.stopping and (missing := self.ledger.missing(share.keyword)):
            if self.ledger.barren(share.keyword):
                share.spent = Spent.BARREN
                await self.ledger.mark_spent(share.keyword, Spent.BARREN)
                return
            if share.waiting:
                await self._begin_some(share.waiting, self.window.room(share.keyword, missing))
            elif share.spent:
                return
            elif self.window.enough(share.keyword, missing):
                await self.window.change()
            else:
                await self._turn_page(share)

    async def _begin_some(self, waiting: deque[ImageItem], room: int) -> None:
        """Begins what there is room for, or waits until something has changed."""
        if items := self._take(waiting, room):
            await self._begin(items)
        else:
            await self.window.change()

    def _take(self, waiting: deque[ImageItem], room: int) -> list[ImageItem]:
        """At most `room` items; those whose host has its share, or wants a short pause, go to the end of the queue."""
        items: list[ImageItem] = []
        passed = 0  # in a row
        for _ in range(len(waiting)):
            if len(items) == room or (items and passed >= LOOK_AHEAD):
                break
            item = waiting.popleft()
            if self.window.crowded(item.host) or self.pauses.is_short(item.host):
                waiting.append(item)
                passed += 1
            else:
                self.window.enter([item])
                items.append(item)
                passed = 0
        return items

    async def _begin(self, items: list[ImageItem]) -> None:
        if self.stopping:
            return
        self.window.enter(items)
        await self.ledger.begin(items)
        for item in items:
            self._ready.put_nowait(item)

    async def _settle(self) -> None:
        """Waits until nothing is in flight, or the run ends."""
        while self.window.busy and not self.stopping:
            await self.window.change()

    async def _end_settled(self, outcome: Outcome) -> None:
        """Ends the run, but not the pictures in flight: a source that broke may never tell of them again."""
        await self._settle()
        self.end(outcome)

    async def _turn_page(self, share: Share) -> None:
        """Asks for the next page, or for some of the look-ups of the last one, and books what came."""
        page = share.page or await self._ask_page(share)
        if page is None:
            return
        if not page.lookups:
            await self._book(page, share)
            return
        share.page = page
        some, page.lookups = page.lookups[:LOOKUPS_AT_ONCE], page.lookups[LOOKUPS_AT_ONCE:]
        items = await self._look_up(some, share, last=not page.lookups)
        if self.stopping:
            return  # the page is asked for again
        if page.lookups:
            await self._take_in([*page.items, *items], share.cursor, None, share)
            page.items = []
        else:
            page.items += items
            share.page, share.looked_up, share.failed = None, False, None
            await self._book(page, share)

    async def _ask_page(self, share: Share) -> Page | None:
        answer = await self._asker.ask(
            lambda: self.page_request(share.keyword, share.cursor),
            lambda response: self._read(response, self.read_page, share.keyword, share.cursor),
            self.handle_httpstatus_list,
        )
        if not isinstance(answer, Outcome):
            return answer
        unread = answer.state in (AttemptState.FAILED, AttemptState.LOST)
        page = self.instead(share.keyword, share.cursor, answer.reason) if unread else None
        if page is None:
            await self._end_settled(answer) if unread else self.end(answer)
        return page

    async def _look_up(self, requests: list[Request], share: Share, *, last: bool) -> list[ImageItem]:
        """The pictures that look-ups bring. That one fails is no harm, if another of the page brings some."""
        answers = await asyncio.gather(*(self._ask_lookup(request, share) for request in requests))
        items = [item for answer in answers if isinstance(answer, list) for item in answer]
        share.looked_up = share.looked_up or bool(items)
        for failure in (answer for answer in answers if isinstance(answer, Outcome)):
            if failure.state is not AttemptState.FAILED:
                self.end(failure)
            else:
                self.logger.warning("Passed over: %s", failure.reason)
                share.failed = failure
        if last and share.failed and not share.looked_up:
            await self._end_settled(share.failed)
        return items

    async def _ask_lookup(self, request: Request, share: Share) -> list[ImageItem] | Outcome | None:
        return await self._asker.ask(
            request.copy,
            lambda response: self._read(response, self.read_lookup, share.keyword),
            self.handle_httpstatus_list,
        )

    async def _book(self, page: Page, share: Share) -> None:
        if page.cursor == share.cursor and not page.spent:
            page.spent = Spent.EXHAUSTED  # a source that does not move on would never end
        if share.known_in_a_row >= KNOWN_IN_A_ROW:
            page.spent = page.spent or Spent.EXHAUSTED  # nor would one that goes in circles
        await self._take_in(page.items, page.cursor, page.spent, share)
        share.cursor, share.spent = page.cursor, page.spent

    async def _take_in(self, items: list[ImageItem], cursor: Any, spent: Spent | None, share: Share) -> None:
        new = await self.ledger.add_page(share.keyword, items, cursor, spent)
        share.known_in_a_row = 0 if new else share.known_in_a_row + max(len(items), LEAST_PAGE)
        share.waiting.extend(new)

    def _read(self, response: Response, read: Callable[..., T], *about: Any) -> T:
        try:
            return read(response, *about)
        except PixCrawlerError:
            raise
        except Exception as error:
            details = self.settings.get("LOG_LEVEL") == "DEBUG"
            self.logger.error("Cannot read %s: %s: %s", response.url, type(error).__name__, error, exc_info=details)
            raise SourceRefused("answers a page that cannot be read") from error


def local_request(callback: Any = None) -> Request:
    """A request that middlewares.local_page answers without network."""
    return Request("https://local.invalid/", callback=callback, dont_filter=True, meta={LOCAL: True})
