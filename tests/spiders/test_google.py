"""What recordings cannot show of Google: a page as long as it gets."""

from __future__ import annotations

from pathlib import Path

import pytest
from scrapy.http import HtmlResponse
from walks import walking

from pixcrawler.jobs import Spent
from pixcrawler.rendering import RENDERED

FIRST = Path(__file__).parent / "google" / "first_scroll" / "body.html"
TILE = '<div data-docid="x"></div>'


@pytest.mark.parametrize(
    ("cursor", "tiles", "after", "spent"),
    [
        (100, 96, 200, Spent.EXHAUSTED),
        (100, 97, 200, None),
        (800, 800, 1000, None),
        (1000, 990, 1000, Spent.EXHAUSTED),
        (1000, 1100, 1000, Spent.CAPPED),
    ],
)
def test_scrolls_get_longer_until_the_page_or_the_source_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cursor: int, tiles: int, after: int, spent: Spent | None
) -> None:
    """The recorded page has three tiles of its own."""
    with walking("google", tmp_path, monkeypatch, keywords="dial") as spider:
        request = spider.page_request("dial", cursor)
        assert request.meta[RENDERED].until == cursor
        body = FIRST.read_text("utf-8").replace("<body", f"{TILE * tiles}<body", 1)
        page = spider.read_page(HtmlResponse(request.url, body=body.encode(), request=request), "dial", cursor)
        assert (len(page.items), page.cursor, page.spent) == (3, after, spent)
