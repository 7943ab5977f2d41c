"""What a spider is told, how many items may be in flight, and how a source is asked."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy.exceptions import CannotResolveHostError, IgnoreRequest
from scrapy.http import Request, Response
from scrapy.settings import Settings

from pixcrawler import asking
from pixcrawler.asking import Asker, checked
from pixcrawler.base_spiders import Page, PagedSearch, Terms, UrlList
from pixcrawler.crawling import HOST_SHARE, IN_FLIGHT, Arguments, Window
from pixcrawler.errors import SourceRefused, SourceSaysLater, UsageError
from pixcrawler.flow import Share
from pixcrawler.items import ImageItem
from pixcrawler.jobs import AttemptState, Outcome, Spent
from pixcrawler.ledger import Pause, Run
from pixcrawler.pauses import NO_RETRY_AFTER, HostPaused, retry_after

ROOT = Path(__file__).parents[1]


class Search(PagedSearch):
    name = "search"
    base_url = "https://search.example"
    delay = 3.0
    page_size = 20
    cap = 60
    terms = Terms(url="", datasets="", attribution="")
    ending: Spent | None = None  # of every page

    def search(self, keyword: str, cursor: Any, narrowed: Mapping[str, str]) -> Request:
        return self.ask("search", {"q": keyword, "page": cursor, **narrowed})

    def found(self, response: Response, keyword: str, cursor: Any) -> Page:
        return Page([], spent=self.ending)


class InParts(Search):
    name = "in_parts"
    split_by: ClassVar[dict[str, Sequence[str]]] = {"colour": ("red", "blue"), "year": ("old", "new")}
    filters: ClassVar[dict[str, Any]] = {"colour": {"red": {"colour": "red"}}}


class Lists(UrlList):
    name = "lists"
    terms = Terms(url="", datasets="", attribution="")
    extra_arguments = frozenset({"url_column"})


def item(number: int, keyword: str = "otter") -> ImageItem:
    return ImageItem(f"https://example.org/{number}.jpg", "search", keyword)


def test_reads_its_arguments(tmp_path: Path) -> None:
    spider = Search(keywords=" red  panda ,otter", max_images="7")
    assert (spider.keywords, spider.arguments.max_images) == (("red panda", "otter"), 7)
    (tmp_path / "animals.csv.gz").touch()
    list_spider = Lists(list=str(tmp_path / "animals.csv.gz"), url_column="address")
    assert (list_spider.keywords, list_spider.arguments.max_images) == (("animals",), None)
    assert list_spider.arguments.extra == {"url_column": "address"}


def test_a_run_of_a_job_needs_no_arguments() -> None:
    assert Search(_job="12-3").arguments.attempt == "12-3"
    assert Search(_job="a uuid", keywords="otter").arguments.attempt is None
    with pytest.raises(UsageError, match="needs keywords"):
        Search(_job="12-3-4")


@pytest.mark.parametrize("name", ["delay", "name", "url_column", "ledger", "run", "start_urls", "_job2", ""])
def test_no_argument_reaches_what_it_should_not(name: str) -> None:
    with pytest.raises(UsageError, match="unknown argument"):
        Search(keywords="otter", **{name: "x"})


@given(st.dictionaries(st.sampled_from(["keywords", "max_images", "base_url", "list", "_job"]), st.text()))
def test_any_text_is_understood_or_refused_in_a_line(given_: dict[str, str]) -> None:
    complaint = ""
    try:
        Arguments.parse(given_, frozenset())
    except UsageError as error:
        complaint = str(error)
    assert complaint.isprintable()


@pytest.mark.parametrize("size", [0, 20, 500])
def test_a_source_that_goes_in_circles_is_left(size: int) -> None:
    class KnowsAll:
        async def add_page(self, *_: object) -> list[ImageItem]:
            return []

    spider = Search(keywords="otter")
    spider.ledger = KnowsAll()  # type: ignore[assignment]
    share = Share("otter", 0, None)

    async def turn_pages() -> int:
        for number in range(1, 1000):
            await spider._book(Page([item(n) for n in range(size)], cursor=number), share)
            if share.spent:
                return number
        return 0

    assert asyncio.run(turn_pages()) == 1 + 5_000 // max(size, 20)
    assert share.spent is Spent.EXHAUSTED


def test_an_operators_address_is_asked_without_delay(settings_env: Callable[..., None]) -> None:
    assert (Search(keywords="otter").base_url, Search.delay) == ("https://search.example", 3.0)
    settings_env(PIXCRAWLER_BASE_URL_SEARCH="http://127.0.0.1:1/")
    spider = Search(keywords="otter")
    assert (spider.base_url, spider.delay) == ("http://127.0.0.1:1", 0)
    spider = Search(keywords="otter", base_url="http://127.0.0.1:2")
    assert (spider.base_url, spider.delay) == ("http://127.0.0.1:2", 0)


def read_all(spider: Search) -> list[tuple[dict[str, str], Spent | None]]:
    """What is asked until there is no more, and what each page came to."""
    spider.ledger = Nobody()  # type: ignore[assignment]
    asked, cursor, spent = [], spider.first_cursor, None
    while spent is None:
        request = spider.page_request("otter", cursor)
        page = spider.read_page(Response(request.url), "otter", cursor)
        cursor, spent = page.cursor, page.spent
        asked.append((dict(parse_qsl(urlsplit(request.url).query)), spent))
    return asked


class Nobody:
    run = Run("", {}, "", {})


def test_a_search_is_capped_at_its_cap() -> None:
    asked = read_all(Search(keywords="otter"))
    assert [(query["page"], spent) for query, spent in asked] == [("1", None), ("2", None), ("3", Spent.CAPPED)]


def test_a_search_seen_to_its_end_needs_no_parts() -> None:
    spider = InParts(keywords="otter")
    spider.ending = Spent.EXHAUSTED
    assert read_all(spider) == [({"q": "otter", "page": "1"}, Spent.EXHAUSTED)]


def test_a_search_at_its_cap_goes_on_in_parts() -> None:
    asked = read_all(InParts(keywords="otter"))
    parts = [(query.get("colour"), query.get("year")) for query, _ in asked[::3]]
    assert parts == [(None, None), ("red", "old"), ("red", "new"), ("blue", "old"), ("blue", "new")]
    assert [query["page"] for query, _ in asked] == ["1", "2", "3"] * 5
    assert [spent for _, spent in asked] == [None] * 14 + [Spent.CAPPED]


def test_what_a_filter_has_narrowed_is_not_split() -> None:
    asked = read_all(InParts(keywords="otter", colour="red"))
    assert {query["colour"] for query, _ in asked} == {"red"}
    assert [query.get("year") for query, _ in asked[::3]] == [None, "old", "new"]


Moves = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 40), st.booleans()), max_size=60)


@given(Moves)
def test_never_more_in_flight_than_may_be(moves: list[tuple[str, int, bool]]) -> None:
    window = Window()
    flying: list[ImageItem] = []
    number = 0
    for keyword, missing, lands in moves:
        if lands and flying:
            landed = flying.pop(0)
            window.release(landed)
            window.release(landed)  # a second time is no harm
            continue
        own = sum(one.keyword == keyword for one in flying)
        room = window.room(keyword, missing)
        entering = [item(number + n, keyword) for n in range(room)]
        number += room
        window.enter(entering)
        flying += entering
        assert len(flying) <= IN_FLIGHT
        assert own + room <= max(16, 2 * missing, own)
    assert window.busy == bool(flying)


def test_items_are_begun_some_at_a_time() -> None:
    window = Window()
    flying = [item(n) for n in range(IN_FLIGHT)]
    window.enter(flying)
    rooms = []
    for one in flying:
        window.release(one)
        rooms.append(window.room("otter", 1000))
    quarter = IN_FLIGHT // 4
    assert rooms == [0] * (quarter - 1) + [*range(quarter, IN_FLIGHT + 1)]


def test_a_crawl_loads_no_other_source() -> None:
    script = """
import sys
from scrapy.spiderloader import get_spider_loader
from scrapy.utils.project import get_project_settings
loader = get_spider_loader(get_project_settings())
assert loader.load("urls").name == "urls"
print([name for name in sys.modules if name.startswith("pixcrawler.spiders.")])
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "['pixcrawler.spiders.urls']\n"


def test_no_host_fills_the_window() -> None:
    spider = Search(keywords="otter")
    slow = [ImageItem(f"https://slow.test/{n}", "search", "otter") for n in range(200)]
    others = [ImageItem(f"https://host-{n}.test/", "search", "otter") for n in range(10)]
    waiting = deque([*slow, *others])
    first = spider._take(waiting, IN_FLIGHT)
    assert [one.host for one in first] == ["slow.test"] * HOST_SHARE
    assert spider._take(waiting, IN_FLIGHT - HOST_SHARE) == others
    assert spider._take(waiting, 1) == []
    spider.window.release(first[0])
    assert [one.host for one in spider._take(waiting, 2)] == ["slow.test"]
    assert len(waiting) == 200 - HOST_SHARE - 1  # and nobody is lost


def test_who_wants_a_pause_comes_later() -> None:
    spider = Search(keywords="otter")
    urls = [f"https://{host}.test/{n}" for n in range(3) for host in ("a", "b", "c")]
    waiting = deque(ImageItem(url, "search", "otter") for url in urls)
    spider.pauses.heard_of("a.test", Pause(30, "answers 429"))
    spider.pauses.heard_of("b.test", Pause(300, "answers 429"))
    assert {one.host for one in spider._take(waiting, 9)} == {"b.test", "c.test"}  # b's are refused at once
    assert {one.host for one in waiting} == {"a.test"}


def test_asks_for_no_page_while_enough_is_in_flight() -> None:
    window = Window()
    window.enter([item(n) for n in range(10)])
    assert window.enough("otter", 5)
    assert not window.enough("otter", 6)
    assert not window.enough("owl", 1)
    window.enter([item(n) for n in range(10, IN_FLIGHT)])
    assert window.enough("owl", 1000)


def response(status: int, **headers: str) -> Response:
    return Response("https://search.example/", status, headers={k.replace("_", "-"): v for k, v in headers.items()})


def test_a_status_means_what_it_should() -> None:
    assert checked(response(200), ()).status == 200
    assert checked(response(401), (401,)).status == 401
    for status, error in ((404, SourceRefused), (301, SourceRefused), (502, asking.SourceUnreachable)):
        with pytest.raises(error):
            checked(response(status), ())
    for later in (response(429), response(503, Retry_After="7")):
        with pytest.raises(SourceSaysLater):
            checked(later, ())
    with pytest.raises(asking.SourceUnreachable):
        checked(response(503), ())


def test_retry_after_is_a_number_or_a_date() -> None:
    assert retry_after(response(429, Retry_After="7")) == 7
    assert retry_after(response(429, Retry_After="0")) == 1
    assert retry_after(response(429, Retry_After="9" * 400)) == 86400
    assert retry_after(response(429)) == NO_RETRY_AFTER
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=600), usegmt=True)
    assert 590 < retry_after(response(429, Retry_After=soon)) <= 600
    assert retry_after(response(429, Retry_After="Fri, 01 Jan 1999 00:00:00 GMT")) == 1


@given(st.text(alphabet=st.characters(max_codepoint=255, exclude_characters="\r\n")))
def test_any_retry_after_is_a_pause(text: str) -> None:
    assert 1 <= retry_after(response(429, Retry_After=text)) <= 86400


class Source:
    """An engine that answers in order: statuses, or exceptions to raise."""

    def __init__(self, *answers: Any) -> None:
        self.answers = iter(answers)
        self.times: list[float] = []
        self.engine = self
        self.stopped = False

    async def download_async(self, request: Request) -> Response:
        assert request.meta["dont_retry"]
        self.times.append(asyncio.get_running_loop().time())
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        return response(*answer) if isinstance(answer, tuple) else answer


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome | int | None]:
    monkeypatch.setattr(asking, "PAUSES", (0.01, 0.01))
    monkeypatch.setattr(asking, "GLANCE", 0.01)

    def run(source: Any, delay: float = 0.0, times: int = 1) -> Outcome | int | None:
        async def several() -> Outcome | int | None:
            asker = Asker(source, "search", delay, lambda: source.stopped)
            made = [
                asker.ask(lambda: Request("https://search.example"), lambda answer: answer.status, ())
                for _ in range(times)
            ]
            return (await asyncio.gather(*made))[0]

        return asyncio.run(several())

    return run


def test_asks_again_what_did_not_answer(ask: Callable[..., Any]) -> None:
    assert ask(Source((502,), CannotResolveHostError(), (200,))) == 200
    lost = ask(Source((502,), (502,), (502,)))
    assert (lost.state, lost.reason) == (AttemptState.LOST, "search: answers 502")


def test_waits_in_place_but_not_for_long(ask: Callable[..., Any]) -> None:
    patient = Source(response(429, Retry_After="1"), (200,))
    assert ask(patient) == 200
    assert patient.times[1] - patient.times[0] >= 1
    deferred = ask(Source(response(429, Retry_After="61")))
    assert (deferred.state, deferred.later_seconds) == (AttemptState.DEFERRED, 61)


def test_comes_back_later_when_another_process_was_told(ask: Callable[..., Any]) -> None:
    deferred = ask(Source(HostPaused("search.example", Pause(90, "answers 429"))))
    assert (deferred.state, deferred.later_seconds) == (AttemptState.DEFERRED, 90)


def test_does_not_ask_again_what_was_refused(ask: Callable[..., Any]) -> None:
    refused = ask(Source((403,)))
    assert (refused.state, refused.reason) == (AttemptState.FAILED, "search: answers 403")
    assert ask(Source(IgnoreRequest("a private address"))).reason == "search: cannot be asked: a private address"


def test_keeps_its_distance_over_all_keywords(ask: Callable[..., Any]) -> None:
    source = Source((200,), (200,), (200,))
    ask(source, delay=0.2, times=3)
    assert all(later - sooner >= 0.18 for sooner, later in zip(source.times, source.times[1:], strict=False))


def test_says_nothing_about_a_source_once_the_run_has_ended(ask: Callable[..., Any]) -> None:
    class Broken(Source):
        async def download_async(self, request: Request) -> Response:
            self.stopped = True
            return await super().download_async(request)

    assert ask(Broken(IgnoreRequest("the crawl is over"))) is None


class TwoSteps(Search):
    """A page of 20 numbers, each to be looked up; those in `broken` cannot be read."""

    broken: frozenset[int] = frozenset()

    def read_page(self, response: Response, keyword: str, cursor: Any) -> Page:
        numbers = range(20 * (cursor - 1), 20 * cursor)
        return Page([], cursor + 1, lookups=[Request(f"https://search.example/{number}") for number in numbers])

    def read_lookup(self, response: Response, keyword: str) -> list[ImageItem]:
        number = int(response.url.rpartition("/")[2])
        if number in self.broken:
            raise KeyError("picture")
        return [item(number)]


class Booked:
    """A ledger that remembers what was booked, and a source that answers everything."""

    run = Run("", {}, "", {})

    def __init__(self) -> None:
        self.pages: list[tuple[int, Any]] = []  # items and cursor
        self.asked: list[str] = []

    async def add_page(self, _: str, items: list[ImageItem], cursor: Any, __: object) -> list[ImageItem]:
        self.pages.append((len(items), cursor))
        return items

    async def answer(self, request: Request, _: object) -> Response:
        self.asked.append(request.url)
        return Response(request.url, request=request)


@pytest.fixture
def turned() -> Callable[..., tuple[Booked, TwoSteps, Share]]:
    """Turns pages of a source until it has moved on, or ends."""

    def turn(broken: frozenset[int] = frozenset()) -> tuple[Booked, TwoSteps, Share]:
        spider, booked, share = TwoSteps(keywords="otter"), Booked(), Share("otter", 1, None)
        spider.broken = broken
        spider.ledger = booked  # type: ignore[assignment]
        spider.settings = Settings()
        asker = Asker(None, "search", 0, lambda: spider.outcome is not None)  # type: ignore[arg-type]
        asker.answer = booked.answer  # type: ignore[method-assign]
        spider._asker = asker
        type(spider).stopping = property(lambda self: self.outcome is not None)  # type: ignore[assignment]

        async def story() -> None:
            while share.cursor == 1 and spider.outcome is None:
                await spider._turn_page(share)

        asyncio.run(story())
        return booked, spider, share

    return turn


def test_what_is_looked_up_is_booked_as_it_comes_and_the_cursor_moves_last(turned: Any) -> None:
    booked, _, share = turned()
    assert booked.pages == [(8, 1), (8, 1), (4, 2)]
    assert len(booked.asked) == len(set(booked.asked)) == 21
    assert len(share.waiting) == 20


def test_one_look_up_that_fails_is_passed_over(turned: Any) -> None:
    booked, spider, share = turned(frozenset({0, 1, 2, 3, 4, 5, 6, 7, 19}))
    assert booked.pages == [(0, 1), (8, 1), (3, 2)]
    assert spider.outcome is None
    assert len(share.waiting) == 11


def test_a_page_of_which_no_look_up_can_be_read_ends_the_run(turned: Any) -> None:
    _, spider, share = turned(frozenset(range(20)))
    assert spider.outcome.state is AttemptState.FAILED
    assert "cannot be read" in spider.outcome.reason
    assert share.cursor == 1, "the page is asked for again"
