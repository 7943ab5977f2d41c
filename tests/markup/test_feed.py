"""What recordings of the source `feed` do not show: feeds that are too large, or are meant to be harmful."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pixcrawler.errors import SourceRefused
from pixcrawler.markup.feed import LIMIT, parsed, pictures

BASE = "https://www.example.org/feed"
ITEM = "<item><title>{}</title><enclosure url='/1.jpg' type='image/jpeg'/></item>"


def rss(items: str) -> bytes:
    return f'<?xml version="1.0"?><rss version="2.0"><channel>{items}</channel></rss>'.encode()


def test_a_feed_may_have_many_entries_but_not_be_endless() -> None:
    item = ITEM.format("A title of some length")
    began = time.process_time()
    feed = parsed(rss(item * ((LIMIT - 200) // len(item))), BASE)
    assert len(list(pictures(feed, BASE))) > 30_000
    assert time.process_time() - began < 30  # seconds; a lease ends after 45
    with pytest.raises(SourceRefused, match="more than are read"):
        parsed(rss(item * (LIMIT // len(item) + 1)), BASE)


def test_entities_are_not_expanded_and_no_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("the secret")
    declared = f'<!ENTITY f SYSTEM "file://{tmp_path}/secret"><!ENTITY a "{"a" * 1000}"><!ENTITY b "{"&a;" * 1000}">'
    bomb = f'<!DOCTYPE rss [{declared}<!ENTITY c "{"&b;" * 1000}">]>'
    content = rss(ITEM.format("&f;&c;")).replace(b"<rss", f"{bomb}<rss".encode())
    titles = [facts.get("title", "") for facts in pictures(parsed(content, BASE), BASE)]
    assert all(len(title) < 10_000 and "secret" not in title for title in titles)


def test_bytes_are_never_taken_for_the_name_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "feed.xml"
    file.write_bytes(rss(ITEM.format("Local")))
    with pytest.raises(SourceRefused, match="is no feed"):
        parsed(str(file).encode(), BASE)


@pytest.mark.parametrize("content", [b"", b"{}", b"<html><body>Sign in</body></html>", b"\x00\xff" * 50])
def test_refuses_what_is_no_feed(content: bytes) -> None:
    with pytest.raises(SourceRefused):
        parsed(content, BASE)
