"""Flickr shows 4,000 pictures of a question and claims millions: dates lead to the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from walks import walk, walking

from pixcrawler.demo.replicas import Answer, Asked
from pixcrawler.demo.replicas.flickr import REACH, UPLOADED, Flickr, failure
from pixcrawler.demo.replicas.serving import serving
from pixcrawler.jobs import Spent

KEYWORD = "mountain lake"
TOTAL = 9_000


def spans(replica: Flickr) -> list[tuple[str | None, ...]]:
    return [(asked.query.get("min_upload_date"), asked.query.get("max_upload_date")) for asked in replica.asked]


def test_brings_more_than_one_question_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        serving(Flickr(TOTAL)) as replica,
        walking("flickr", tmp_path, monkeypatch, **replica.arguments(KEYWORD)) as spider,
    ):
        done = walk(spider, KEYWORD)
    assert len(done.items) == TOTAL
    assert done.spent is Spent.EXHAUSTED
    assert not replica.scolded
    assert done.pages < 3 * TOTAL / 500, "most questions are for pages that are new"


def test_goes_on_in_the_middle_of_a_span(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        serving(Flickr(TOTAL)) as replica,
        walking("flickr", tmp_path, monkeypatch, **replica.arguments(KEYWORD)) as spider,
    ):
        first = walk(spider, KEYWORD, most_pages=7)
        spider.first_cursor = json.loads(json.dumps(first.cursors[-1]))  # type: ignore[misc]
        rest = walk(spider, KEYWORD)
    assert len(first.items.keys() | rest.items.keys()) == TOTAL


def test_a_date_filter_holds_for_every_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beginning, step = UPLOADED
    since, until = 1_199_145_600, 1_483_228_799  # 2008..2016
    with (
        serving(Flickr(TOTAL)) as replica,
        walking("flickr", tmp_path, monkeypatch, **replica.arguments(KEYWORD), date="2008..2016") as spider,
    ):
        done = walk(spider, KEYWORD)
    wanted = sum(since <= beginning + step * number <= until for number in range(TOTAL))
    assert REACH < wanted < TOTAL
    assert len(done.items) == wanted
    assert all(since <= int(first or 0) <= int(last or 0) <= until for first, last in spans(replica))


class TooFar(Flickr):
    """Says so, as documented, before it repeats itself."""

    def page(self, asked: Asked) -> Answer | None:
        if int(asked.query.get("page", 1)) > 3:
            return self.scold(asked, failure(20, "Excessive photo offset in search"))
        return super().page(asked)


def test_asks_in_parts_when_it_is_told_that_a_page_is_too_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        serving(TooFar(3_000)) as replica,
        walking("flickr", tmp_path, monkeypatch, **replica.arguments(KEYWORD)) as spider,
    ):
        done = walk(spider, KEYWORD)
    assert len(done.items) == 3_000
    assert done.spent is Spent.EXHAUSTED
