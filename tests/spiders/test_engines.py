"""What recordings cannot show of search engines: what they remember from page to page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from scrapy.http import HtmlResponse, Response, TextResponse
from walks import walk, walking

from pixcrawler.base_spiders import ImageSpider
from pixcrawler.config import config
from pixcrawler.demo.replicas import Replica, replica_of
from pixcrawler.demo.replicas.serving import serving
from pixcrawler.errors import SourceSaysLater, UsageError
from pixcrawler.jobs import Spent

KEYWORD = "paper lantern"
ENGINES = ("bing", "duckduckgo", "baidu")
FORGETFUL = {"duckduckgo": ({"s": 0, "vqd": "4-1"}, "/i.js"), "baidu": ({"pn": 0, "cookies": True}, "/search/acjson")}

Begin = Callable[..., ImageSpider]


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Begin]:
    with ExitStack() as stack:
        yield lambda source, **given: stack.enter_context(
            walking(source, tmp_path, monkeypatch, **{"keywords": KEYWORD, **given})
        )


@pytest.fixture
def replica(source: str) -> Iterator[Replica]:
    with serving(replica_of(source)) as served:
        yield served


@pytest.mark.parametrize("source", FORGETFUL)
def test_a_token_or_cookie_that_was_lost_is_fetched_anew(source: str, replica: Replica, begin: Begin) -> None:
    spider = begin(source, base_url=replica.url)
    spider.first_cursor, path = FORGETFUL[source]  # type: ignore[misc]  # of another process
    done = walk(spider, KEYWORD)
    assert (len(done.items), done.pauses, done.spent) == (150, 0, Spent.EXHAUSTED)
    assert [asked.path for asked in replica.asked[:3]] == [path, "/", path]


@pytest.mark.parametrize("source", FORGETFUL)
def test_who_refuses_a_new_one_too_is_left_alone_for_minutes(source: str, begin: Begin) -> None:
    spider, (cursor, path) = begin(source), FORGETFUL[source]
    refusal = TextResponse(f"{spider.base_url}{path}", 403 if source == "duckduckgo" else 200, body=b'{"antiFlag":1}')
    again = spider.read_page(refusal, KEYWORD, cursor)
    assert (again.items, again.spent) == ([], None)
    assert again.cursor != cursor
    with pytest.raises(SourceSaysLater) as caught:
        spider.read_page(refusal, KEYWORD, cursor)
    assert caught.value.seconds >= 300


def results(*numbers: int) -> Response:
    about = [json.dumps({"murl": f"https://e.org/{n}.jpg", "purl": "https://e.org/", "mid": str(n)}) for n in numbers]
    tiles = "".join(f"<li><a class='iusc' m='{text}'></a></li>" for text in about)
    return HtmlResponse("https://www.bing.com/images/async", body=f"<ul>{tiles}</ul>".encode())


def test_three_pages_of_bing_without_anything_new_are_its_end(begin: Begin) -> None:
    spider = begin("bing")
    shown = [results(1, 2), results(2, 3), results(1, 2), results(3), results(2, 1)]
    pages = [spider.read_page(response, KEYWORD, number) for number, response in enumerate(shown, 1)]
    assert [page.spent for page in pages] == [None, None, None, None, Spent.EXHAUSTED]


def test_an_empty_page_of_bing_is_asked_for_once_more(begin: Begin) -> None:
    spider, empty = begin("bing"), HtmlResponse("https://www.bing.com/images/async", body=b"<html><body></body></html>")
    seconds = []
    for number in (1, 1, 7):
        with pytest.raises(SourceSaysLater) as caught:
            spider.read_page(empty, KEYWORD, number)
        seconds.append(caught.value.seconds)
    assert seconds == [1, 600, 1]
    assert spider.read_page(empty, KEYWORD, 7).spent is Spent.EXHAUSTED


@pytest.mark.parametrize("source", ENGINES)
def test_names_a_browser_and_us(source: str, replica: Replica, begin: Begin) -> None:
    walk(begin(source, base_url=replica.url), KEYWORD, most_pages=2)
    agents = {asked.headers["user-agent"] for asked in replica.asked}
    assert all(agent.startswith("Mozilla/5.0 ") and agent.endswith(config().user_agent) for agent in agents)


@pytest.mark.parametrize("source", ENGINES)
def test_is_asked_only_with_the_operators_consent(source: str, monkeypatch: pytest.MonkeyPatch, begin: Begin) -> None:
    kind = type(begin(source))
    monkeypatch.delenv("PIXCRAWLER_ACCEPT_TERMS")
    config.cache_clear()
    with pytest.raises(UsageError, match=f"{source}: robots.txt forbids.*PIXCRAWLER_ACCEPT_TERMS"):
        kind(keywords=KEYWORD)
