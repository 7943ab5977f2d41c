"""What is asked of a host and how often, with answers from a script. Real crawls: end_to_end/test_opted_out.py."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadConnectionRefusedError,
    DownloadTimeoutError,
    StopDownload,
)
from scrapy.http import Headers, Request, Response

from pixcrawler.jobs import Reason
from pixcrawler.middlewares import host_files
from pixcrawler.middlewares.fence import Fenced
from pixcrawler.middlewares.firewall import Refused
from pixcrawler.middlewares.host_files import PATHS, HostFiles, HostRules
from pixcrawler.middlewares.optout import OptedOut, OptOutMiddleware
from pixcrawler.opt_outs import JUDGED, LIMIT, Kind

HOST = "https://images.example/"
PICTURE = HOST + "photos/1.jpg"
NOTHING = (404, b"nothing here", {})
Answers = dict[str, Any]  # address → (status, body, headers), or an error to raise


class Internet:
    """Answers from a script, 404 to anything else, and counts; slowly, so that everybody asks at the same time."""

    def __init__(self, answers: Answers | None = None) -> None:
        self.answers = answers or {}
        self.asked: Counter[str] = Counter()
        self.at_once = self.most_at_once = 0

    async def __call__(self, request: Request) -> Response:
        self.asked[request.url] += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.01)
        self.at_once -= 1
        answer = self.answers.get(request.url, NOTHING)
        if isinstance(answer, Exception):
            raise answer
        status, body, headers = answer
        return Response(request.url, status, headers, body)


def rules(internet: Internet, *urls: str, times: int = 1) -> list[HostRules]:
    async def ask() -> list[HostRules]:
        hosts = HostFiles(internet, "PixCrawler")
        found: list[HostRules] = []
        for _ in range(times):
            found += await asyncio.gather(*(hosts.rules_for(url) for url in urls))
        return found

    return asyncio.run(ask())


def reason(answers: Answers, url: str = PICTURE) -> Reason | None:
    [found] = rules(Internet(answers), url)
    denial = found.denial(url, Kind.IMAGE)
    return denial and denial.reason


def denying(status: int = 200, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    return status, b"User-agent: *\nDisallow: /", headers


def test_a_host_is_asked_once_for_all_its_files_at_once() -> None:
    internet = Internet()
    rules(internet, *[f"{HOST}{number}.jpg" for number in range(50)], times=3)
    assert internet.asked == dict.fromkeys((HOST + path for path in PATHS), 1)
    assert internet.most_at_once == len(PATHS)


def test_one_host_in_two_ways_of_writing_is_one() -> None:
    internet = Internet()
    rules(internet, "https://Images.Example:443/a.jpg?x#y", "https://images.example./b.jpg")
    assert len(internet.asked) == len(PATHS)


def test_scheme_and_port_make_a_host_another_one() -> None:
    internet = Internet()
    rules(internet, PICTURE, "http://images.example/", "https://images.example:8443/", "https://img.images.example/")
    assert len(internet.asked) == 4 * len(PATHS)


@pytest.mark.parametrize("path", PATHS)
def test_each_file_can_deny_by_itself(path: str) -> None:
    bodies = {".well-known/tdmrep.json": b'[{"location": "/", "tdm-reservation": 1}]'}
    answer = (200, bodies.get(path, denying()[1]), {})
    reasons = {"robots.txt": Reason.ROBOTS, "ai.txt": Reason.AI_TXT, ".well-known/tdmrep.json": Reason.TDMREP}
    assert reason({HOST + path: answer}) is reasons[path]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (denying(200), Reason.ROBOTS),
        (denying(203), Reason.ROBOTS),
        ((204, b"", {}), None),
        (denying(304), None),
        (denying(400), None),
        (denying(401), None),
        (denying(403), None),
        (denying(404), None),
        (denying(410), None),
        ((429, b"", {}), Reason.SERVER_ERROR),
        ((500, b"", {}), Reason.SERVER_ERROR),
        ((503, b"", {}), Reason.SERVER_ERROR),
        (DownloadTimeoutError(), Reason.TIMEOUT),
        (DownloadConnectionRefusedError(), Reason.UNREACHABLE),
        (CannotResolveHostError(), Reason.UNREACHABLE),
        (OSError(), Reason.UNREACHABLE),
        (Refused("10.0.0.1 is not a public address"), Reason.FIREWALL),
        (Fenced("the crawl is over"), Reason.CANCELLED),
        ((302, b"", {"Location": "http://[bad/"}), Reason.BAD_URL),
    ],
)
def test_robots_txt_by_its_status(answer: Any, expected: Reason | None) -> None:
    assert reason({HOST + "robots.txt": answer}) is expected


@pytest.mark.parametrize("answer", [(500, b"", {}), (429, b"", {}), DownloadTimeoutError(), OSError()])
def test_the_other_files_may_be_missing_in_any_way(answer: Any) -> None:
    assert reason({HOST + path: answer for path in PATHS[1:]}) is None


@pytest.mark.parametrize(("redirects", "expected"), [(1, Reason.ROBOTS), (5, Reason.ROBOTS), (6, None)])
def test_robots_txt_is_followed_five_times(redirects: int, expected: Reason | None) -> None:
    addresses = [HOST + "robots.txt", *(f"https://elsewhere.example/{number}" for number in range(redirects))]
    answers: Answers = {here: (301, b"", {"Location": there}) for here, there in pairwise(addresses)}
    assert reason(answers | {addresses[-1]: denying()}) is expected


def test_what_is_remembered_is_bounded_by_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_files, "HOSTS", 2)
    a, b, c = (f"https://{name}.example/" for name in "abc")

    async def ask(internet: Internet) -> None:
        hosts = HostFiles(internet, "PixCrawler")
        for url in (a, b, a, c, a, b):
            await hosts.rules_for(url)

    internet = Internet()
    asyncio.run(ask(internet))
    assert [internet.asked[url + "robots.txt"] for url in (a, b, c)] == [1, 2, 1]


def test_what_is_remembered_is_bounded_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_files, "BYTES", 1_000)
    urls = [f"https://{name}.example/" for name in "abc"]
    internet = Internet({url + "robots.txt": (200, b"#" * 400, {}) for url in urls})

    async def ask() -> None:
        hosts = HostFiles(internet, "PixCrawler")
        for url in (*urls, *reversed(urls)):
            await hosts.rules_for(url)

    asyncio.run(ask())
    assert [internet.asked[url + "robots.txt"] for url in urls] == [2, 1, 1]


@pytest.mark.parametrize(("answer", "times"), [((503, b"", {}), 2), (NOTHING, 1)])
def test_only_who_could_not_be_asked_is_asked_again(monkeypatch: pytest.MonkeyPatch, answer: Any, times: int) -> None:
    monkeypatch.setattr(host_files, "AGAIN", -1)
    internet = Internet({HOST + "robots.txt": answer})
    rules(internet, PICTURE, times=2)
    assert internet.asked[HOST + "robots.txt"] == times


def test_who_stops_waiting_stops_nobody_else() -> None:
    async def ask() -> HostRules:
        hosts = HostFiles(Internet(), "PixCrawler")
        first = asyncio.create_task(hosts.rules_for(PICTURE))
        second = asyncio.create_task(hosts.rules_for(PICTURE))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert asyncio.run(ask()).denial(PICTURE, Kind.IMAGE) is None


class Engine:
    """A crawl engine of which only the downloads are real enough."""

    def __init__(self, internet: Internet) -> None:
        self.engine = self
        self.download_async = internet


@pytest.fixture
def middleware() -> Callable[..., OptOutMiddleware]:
    def make(internet: Internet | None = None, *exempt: str) -> OptOutMiddleware:
        crawler: Any = Engine(internet or Internet())
        return OptOutMiddleware(crawler, "PixCrawler", exempt)

    return make


def request(url: str = PICTURE, kind: Kind | None = Kind.IMAGE) -> Request:
    return Request(url, meta={JUDGED: kind} if kind else {})


def judged(middleware: OptOutMiddleware, asked: Request) -> Reason | None:
    try:
        asyncio.run(middleware.process_request(asked))  # type: ignore[arg-type]
    except OptedOut as error:
        return error.reason
    return None


def test_only_what_is_marked_is_judged(middleware: Callable[..., OptOutMiddleware]) -> None:
    internet = Internet({HOST + "robots.txt": denying()})
    assert judged(middleware(internet), request(kind=None)) is None
    assert not internet.asked
    assert judged(middleware(internet), request()) is Reason.ROBOTS
    assert judged(middleware(internet), request(HOST + "page", Kind.PAGE)) is Reason.ROBOTS


def test_an_exempted_host_is_not_asked(middleware: Callable[..., OptOutMiddleware]) -> None:
    internet = Internet({HOST + "robots.txt": denying(), "https://www.images.example/robots.txt": denying()})
    exempting = middleware(internet, "images.example")
    assert judged(exempting, request()) is None
    assert judged(exempting, request("https://IMAGES.example.:8443/x.jpg")) is None
    assert not internet.asked
    assert judged(exempting, request("https://www.images.example/x.jpg")) is Reason.ROBOTS


def answered(
    middleware: OptOutMiddleware, asked: Request, status: int = 200, **headers: str
) -> tuple[bool, Reason | None]:
    """Whether the body is left, and why the answer is refused."""
    given = Headers({name.replace("_", "-"): value for name, value in headers.items()})
    left = False
    try:
        middleware.headers_received(given, asked)
    except StopDownload as stop:
        left = not stop.fail
    try:
        middleware.process_response(asked, Response(asked.url, status, given))
    except OptedOut as error:
        return left, error.reason
    return left, None


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (200, {}, (False, None)),
        (200, {"Content_Type": "image/jpeg"}, (False, None)),
        (200, {"X_Robots_Tag": "noai"}, (True, Reason.X_ROBOTS_TAG)),
        (200, {"tdm_reservation": "1"}, (True, Reason.TDM_RESERVATION)),
        (200, {"Content_Type": "text/html"}, (True, Reason.NOT_AN_IMAGE)),
        (200, {"Content_Type": "text/html", "X_Robots_Tag": "noai"}, (True, Reason.X_ROBOTS_TAG)),
        (302, {"Content_Type": "text/html", "Location": "/"}, (False, None)),
        (302, {"X_Robots_Tag": "noai", "Location": "/"}, (True, Reason.X_ROBOTS_TAG)),
        (404, {"Content_Type": "text/html", "X_Robots_Tag": "noindex"}, (True, None)),  # it is an error all the same
        (503, {"Content_Type": "text/html"}, (True, None)),
    ],
)
def test_headers(
    middleware: Callable[..., OptOutMiddleware],
    status: int,
    headers: dict[str, str],
    expected: tuple[bool, Reason | None],
) -> None:
    assert answered(middleware(), request(), status, **headers) == expected


def test_headers_of_what_is_not_judged(middleware: Callable[..., OptOutMiddleware]) -> None:
    forbidding = {"X_Robots_Tag": "noai", "tdm_reservation": "1", "Content_Type": "text/html"}
    assert answered(middleware(), request(kind=None), **forbidding) == (False, None)
    assert answered(middleware(), request(kind=Kind.PAGE), Content_Type="text/html") == (False, None)
    assert answered(middleware(), request(kind=Kind.PAGE), X_Robots_Tag="noai") == (True, Reason.X_ROBOTS_TAG)
    exempting = middleware(None, "images.example")
    assert answered(exempting, request(), X_Robots_Tag="noai", tdm_reservation="1") == (False, None)
    assert answered(exempting, request(), **forbidding) == (True, Reason.NOT_AN_IMAGE)


def test_a_file_is_read_no_further_than_to_its_limit(middleware: Callable[..., OptOutMiddleware]) -> None:
    judging = middleware()
    picture, file = request(), host_files._request(HOST + "robots.txt", 5)
    for _ in range(2):
        judging.bytes_received(bytes(LIMIT), picture)
        judging.bytes_received(bytes(LIMIT), file)
        with pytest.raises(StopDownload) as stop:
            judging.bytes_received(b"x", file)
        assert not stop.value.fail
        asyncio.run(judging.process_request(file))  # type: ignore[arg-type]  # asked for again, after a pause
