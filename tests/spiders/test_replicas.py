"""Every source against its replica: to the end, to the cap, through limits, broken records and a redesign."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from walks import SECRET, Walk, walk, walking

from pixcrawler.base_spiders import ImageSpider
from pixcrawler.demo import replicas
from pixcrawler.demo.replicas import NOTHING, Replica, replica_of
from pixcrawler.demo.replicas.serving import serving
from pixcrawler.errors import PixCrawlerError
from pixcrawler.items import ImageItem
from pixcrawler.jobs import Spent
from pixcrawler.sources import spiders

KEYWORD = "mountain lake"
SERVING = "serving"  # beside the replicas
IN_BROWSER = "google"  # its pages are made by scripts: see middlewares/test_browser.py
SOURCES = sorted({path.stem for path in Path(replicas.__path__[0]).glob("[a-z]*.py")} - {SERVING, IN_BROWSER})
KINDS = {source: spiders()[source] for source in SOURCES}
CAPPED = [source for source, kind in KINDS.items() if kind.cap]
WITH_KEY = [source for source, kind in KINDS.items() if kind.key]
SAFE = [source for source, kind in KINDS.items() if "safe" in kind.filters]
TOTAL = 150

Begin = Callable[..., tuple[ImageSpider, Replica]]


@pytest.fixture
def begin(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Begin]:
    """Serves a source's replica with so many pictures, and makes the spider to walk it."""
    with ExitStack() as stack:

        def started(total: int = TOTAL, keyword: str = KEYWORD) -> tuple[ImageSpider, Replica]:
            replica = stack.enter_context(serving(replica_of(source, total)))
            folder = tmp_path / str(total)
            return stack.enter_context(walking(source, folder, monkeypatch, **replica.arguments(keyword))), replica

        yield started


every_source = pytest.mark.parametrize("source", SOURCES)


def numbers(replica: Replica, done: Walk) -> set[str]:
    """The pictures met, as the replica knows them."""
    known = {replica.address(entry): entry.id for entry in replica.entries(KEYWORD)}
    return {known[replica.original(item.url)] for item in done.items.values()}


@every_source
def test_brings_all_there_are_once(begin: Begin) -> None:
    spider, replica = begin()
    done = walk(spider, KEYWORD)
    assert numbers(replica, done) == {entry.id for entry in replica.entries(KEYWORD)}
    assert len(done.items) == TOTAL
    assert done.spent is Spent.EXHAUSTED
    assert not done.passed_over


@pytest.mark.parametrize("source", CAPPED)
def test_stops_at_the_cap(source: str, begin: Begin) -> None:
    spider, replica = begin((KINDS[source].cap or 0) * 2)
    done = walk(spider, KEYWORD, look_up=False)
    assert done.spent is Spent.CAPPED
    assert len(done.items) >= (spider.cap or 0)
    assert not replica.scolded, "it asked for what the source does not show"


@every_source
def test_knows_a_genuine_absence_of_results(begin: Begin) -> None:
    spider, _ = begin(keyword=NOTHING)
    done = walk(spider, NOTHING)
    assert not done.items
    assert done.spent is Spent.EXHAUSTED


@every_source
def test_passes_over_a_broken_record(begin: Begin) -> None:
    spider, replica = begin()
    replica.broken = frozenset({3, 77})
    done = walk(spider, KEYWORD)
    assert len(numbers(replica, done)) == TOTAL - 2


@every_source
def test_waits_when_asked_to_and_goes_on(begin: Begin) -> None:
    spider, replica = begin()
    replica.limits = 1
    done = walk(spider, KEYWORD)
    assert done.pauses == 1
    assert len(done.items) == TOTAL


@every_source
def test_says_that_it_cannot_read_a_redesigned_page(begin: Begin) -> None:
    spider, replica = begin()
    replica.mutations = dict([replica.redesign])
    with pytest.raises(PixCrawlerError):
        walk(spider, KEYWORD)


@every_source
def test_tells_what_it_says_it_tells(begin: Begin) -> None:
    spider, _ = begin()
    items = walk(spider, KEYWORD).items.values()
    assert {name: filled(items, name) > TOTAL / 2 for name in spider.fields} == dict.fromkeys(spider.fields, True)


def filled(items: object, name: str) -> int:
    assert hasattr(items, "__iter__")
    return sum(isinstance(item, ImageItem) and bool(getattr(item, name)) for item in items)


@every_source
def test_goes_on_where_it_stopped(begin: Begin) -> None:
    """As the next attempt does in another process: cursors are JSON, and nothing else is remembered."""
    spider, replica = begin()
    first = walk(spider, KEYWORD, most_pages=1)
    again, _ = begin(TOTAL)
    again.first_cursor = json.loads(json.dumps(first.cursors[-1]))  # type: ignore[misc]
    again.base_url = replica.url
    rest = walk(again, KEYWORD) if first.spent is None else Walk()
    assert len(first.items.keys() | rest.items.keys()) == TOTAL


@pytest.mark.parametrize("source", SAFE)
def test_asks_for_safe_pictures_unless_told_otherwise(begin: Begin) -> None:
    spider, replica = begin()
    walk(spider, KEYWORD, most_pages=1)
    wanted = spider.filters["safe"]["moderate"]
    assert any(all(text in asked.query.get(name, "") for name, text in wanted.items()) for asked in replica.asked)


@pytest.mark.parametrize("source", WITH_KEY)
def test_its_key_reaches_the_source_and_nothing_else(begin: Begin) -> None:
    spider, replica = begin()
    done = walk(spider, KEYWORD)
    assert any(SECRET in json.dumps([asked.query, asked.headers]) for asked in replica.asked)
    assert SECRET not in json.dumps([item.facts() for item in done.items.values()])
    assert SECRET not in json.dumps(done.cursors)


@pytest.mark.parametrize("source", WITH_KEY)
def test_says_so_when_the_key_is_wrong(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    spider, _ = begin()
    assert spider.key
    monkeypatch.setenv(spider.key.variable, "another")
    with pytest.raises(PixCrawlerError, match=r"key|disallowed|invalid|Invalid|4\d\d"):
        walk(spider, KEYWORD)
