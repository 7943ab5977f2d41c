"""What recordings of the source `sitemap` do not show: it is read piece by piece, and cannot be made to explode."""

from __future__ import annotations

import gzip
import time
from itertools import islice

import pytest

from pixcrawler.errors import SourceRefused
from pixcrawler.markup.sitemap import LIMIT, MOST_ENTRIES, finds

BASE = "https://www.example.org/sitemap.xml"
URL = "<url><loc>/{0}</loc><image:image><image:loc>/{0}.jpg</image:loc></image:image></url>"


def sitemap(entries: str) -> bytes:
    return f'<urlset xmlns="s" xmlns:image="i">{entries}</urlset>'.encode()


def test_is_read_as_far_as_it_is_wanted() -> None:
    whole = sitemap("".join(map(URL.format, range(2_000))) + "<url><image:image/></url>" + "&" * 9 + "</nonsense>")
    first = list(islice(finds(whole, BASE), 3))
    assert [find["url"] for find in first if isinstance(find, dict)] == [
        f"https://www.example.org/{number}.jpg" for number in range(3)
    ]


def test_reads_as_many_entries_as_there_may_be() -> None:
    entries = "<url><loc>/p</loc></url>" * MOST_ENTRIES + URL.format("late")
    began = time.process_time()
    assert list(finds(sitemap(entries), BASE)) == []
    assert time.process_time() - began < 15  # seconds


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(b"<urlset>" + b" " * LIMIT + b"</urlset>"),
        b'<!DOCTYPE u [<!ENTITY a SYSTEM "file:///etc/passwd">]><urlset><url><loc>/&a;</loc></url></urlset>',
        b"\x1f\x8b",
        b"",
        b"\0" * 100,
    ],
)
def test_refuses_what_is_no_sitemap_or_a_bomb(content: bytes) -> None:
    with pytest.raises(SourceRefused):
        list(finds(content, BASE))


def test_expands_nothing_in_whatever_encoding() -> None:
    bomb = '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE s [<!ENTITY a "{}"><!ENTITY b "{}"><!ENTITY c "{}">]>'
    filled = bomb.format("a" * 1000, "&a;" * 1000, "&b;" * 1000)
    found = list(
        finds(f"{filled}<sitemapindex><sitemap><loc>/&c;</loc></sitemap></sitemapindex>".encode("utf-16"), BASE)
    )
    assert all(len(str(find)) < 1000 for find in found)


def test_reads_a_packed_one_as_any_other() -> None:
    content = sitemap(URL.format("1"))
    assert list(finds(gzip.compress(content), BASE)) == list(finds(content, BASE)) != []


def test_does_not_mind_old_namespaces_or_none() -> None:
    index = b"<sitemapindex xmlns='http://www.google.com/schemas/sitemap/0.84'><sitemap><loc>/1.xml</loc></sitemap>"
    assert list(finds(index, BASE)) == ["https://www.example.org/1.xml"]
