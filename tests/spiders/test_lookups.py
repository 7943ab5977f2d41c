"""Look-ups of a page: one that fails is passed over, but a source that none of them can be read of is broken."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from scrapy.http import Request
from walks import walking

from pixcrawler.base_spiders import ImageSpider
from pixcrawler.flow import Share
from pixcrawler.items import ImageItem
from pixcrawler.jobs import AttemptState, Outcome

UNREADABLE = Outcome(AttemptState.FAILED, "met: answers a page that cannot be read")
PICTURE = [ImageItem("https://example.org/1.jpg", "met", "otter")]
GONE: list[ImageItem] = []  # a genuine answer, without a picture


@pytest.fixture
def spider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ImageSpider]:
    with walking("met", tmp_path, monkeypatch, keywords="otter") as spider:
        yield spider


@pytest.mark.parametrize(
    ("answers", "is_broken"),
    [
        ([[PICTURE, UNREADABLE]], False),
        ([[PICTURE], [UNREADABLE, UNREADABLE]], False),
        ([[UNREADABLE], [GONE], [PICTURE]], False),
        ([[GONE, GONE]], False),
        ([[UNREADABLE, UNREADABLE]], True),
        ([[GONE, UNREADABLE]], True),
        ([[UNREADABLE, GONE], [GONE]], True),
    ],
)
def test_a_page_without_a_picture_and_with_a_failure_ends_the_run(
    answers: list[list[list[ImageItem] | Outcome]],
    is_broken: bool,
    spider: ImageSpider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    share = Share("otter", None, None)
    for number, some in enumerate(answers, 1):
        given = iter(some)

        async def answered(request: Request, share: Share, given: Iterator[object] = given) -> object:
            return next(given)

        monkeypatch.setattr(spider, "_ask_lookup", answered)
        requests = [Request("https://example.org/")] * len(some)
        asyncio.run(spider._look_up(requests, share, last=number == len(answers)))
    assert (spider.outcome is UNREADABLE) is is_broken
    assert (spider.outcome is None) is not is_broken
