"""What recordings of the source `page` do not show: every form a picture is offered in, and pages made to be slow."""

from __future__ import annotations

import time

import pytest
from parsel import Selector

from pixcrawler.markup import absolute, html, is_picture

BASE = "https://www.example.org/a/"


def urls(body: str) -> list[str]:
    return [facts["url"].removeprefix(BASE) for facts in html.pictures(Selector(f"<html><body>{body}"), BASE)]


@pytest.mark.parametrize(
    ("shown", "best"),
    [
        ('<img src="s.jpg">', "s.jpg"),
        ('<img src="s.jpg" srcset="m.jpg 2x, l.jpg 3x">', "l.jpg"),
        ('<img src="s.jpg" srcset="m.jpg, l.jpg 2x">', "l.jpg"),
        ('<img src="s.jpg" srcset="l.jpg 900w,m.jpg 300w">', "l.jpg"),
        ('<img srcset="w_90,h_90/l.jpg 90w, w_9,h_9/s.jpg 9w">', "w_90,h_90/l.jpg"),
        ('<img srcset="l.jpg 900w 600h, m.jpg 300w 200h">', "l.jpg"),
        ('<img srcset="l.jpg nonsense, m.jpg 1w">', "m.jpg"),
        ('<img src="s.jpg" srcset="data:image/gif;base64,R0lGOD 1w">', "s.jpg"),
        ('<img src="s.jpg" srcset=" , ">', "s.jpg"),
        ('<img src="s.gif" data-lazy-src="l.jpg">', "l.jpg"),
        ('<img src="s.gif" data-src="data:," data-lazy="l.jpg">', "l.jpg"),
        ('<picture><source srcset="l.webp 900w"><img src="s.jpg" srcset="m.jpg 500w"></picture>', "l.webp"),
        ('<picture><source type="image/avif" srcset="l.avif 9w"><img src="s.jpg"></picture>', "s.jpg"),
        ('<a href="l.PNG#top"><span><img src="s.jpg"></span></a>', "l.PNG"),
        ('<a href="l.html"><img src="s.jpg"></a>', "s.jpg"),
        ('<noscript><img src="s.jpg"></noscript>', "s.jpg"),
    ],
)
def test_takes_the_largest_form_of_a_picture(shown: str, best: str) -> None:
    assert urls(shown) == [best]


@pytest.mark.parametrize(
    "shown", ["<img>", '<img src="">', '<img src="data:,">', '<img src="http://[">', '<img src="about:blank">']
)
def test_a_picture_without_address_is_none(shown: str) -> None:
    assert urls(shown) == []


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ('{"@type": "ImageObject", "url": "1.jpg"}', ["1.jpg"]),
        ('[{"@type": ["Photograph", "ImageObject"], "contentUrl": ["1.jpg"]}]', ["1.jpg"]),
        ('{"@type": "Recipe", "image": ["1.jpg", {"@type": "ImageObject", "url": "2.jpg"}]}', ["1.jpg", "2.jpg"]),
        ('{"@type": "Product", "image": "1.jpg", "thumbnail": {"@type": "ImageObject", "url": "2.jpg"}}', ["1.jpg"]),
        ('{"@type": "ImageObject", "url": 7}', ["7"]),
        ('{"@type": "ImageObject"}', []),
        ('{"@type": "ImageObject", "url": {"@id": null}, "creator": [null, 7, {"name": 8}]}', []),
        ("[" * 100_000, []),
        ('"just words"', []),
    ],
)
def test_reads_json_ld_however_it_is_written(statement: str, expected: list[str]) -> None:
    assert urls(f'<script type="application/ld+json">{statement}</script>') == expected


def test_a_shared_picture_is_told_once_with_its_own_facts() -> None:
    page = Selector(
        '<html><head><meta property="og:image" content="http://img.example.org/1.jpg">'
        '<meta property="og:image:secure_url" content="https://img.example.org/1.jpg">'
        '<meta property="og:image:alt" content="First"><meta name="twitter:image" content="/2.jpg">'
    )
    assert html.pictures(page, BASE) == [
        {"url": "https://img.example.org/1.jpg", "title": "First"},
        {"url": "https://www.example.org/2.jpg"},
    ]


@pytest.mark.parametrize(
    ("links", "address"),
    [
        ('<a href="2">2</a><a href="3" rel="Next">3</a>', "3"),
        ('<a href="2">« Older posts</a>', "2"),
        ('<a href="2" aria-label="Next page"><svg></svg></a>', "2"),
        ('<a href="2">What comes next</a>', None),
        ('<a href="#">Next</a><a href="">Next</a><a href="mailto:a@b.example">Next</a>', None),
    ],
)
def test_finds_the_next_page(links: str, address: str | None) -> None:
    found = html.next_page(Selector(f"<html><body>{links}"), BASE)
    assert found == (address and BASE + address)


@pytest.mark.parametrize(
    ("body", "is_shell"),
    [
        ('<div id="root"></div><script src="a.js"></script>', True),
        ('<noscript>Enable JavaScript</noscript><style>p {}</style><script src="a.js"></script>', True),
        ("<p>Hello</p><script></script>", False),
        ("", False),
    ],
)
def test_tells_a_shell_from_an_empty_page(body: str, is_shell: bool) -> None:
    assert html.is_shell(Selector(f"<html><head><title>T</title></head><body>{body}")) is is_shell


@pytest.mark.parametrize(
    ("head", "rule"),
    [
        ('<meta name="ROBOTS" content="nofollow, NoAI">', "noai"),
        ('<meta name="pixcrawler" content="noimageindex">', "noimageindex"),
        ('<meta name="otherbot" content="noindex">', None),
        ('<meta name="tdm-reservation" content="1">', "tdm-reservation: 1"),
        ('<meta name="tdm-reservation" content="0">', None),
    ],
)
def test_heeds_what_the_head_reserves(head: str, rule: str | None) -> None:
    denial = html.reservation(Selector(f"<html><head>{head}"))
    assert (rule in denial.rule) if denial and rule else denial is rule


@pytest.mark.parametrize(
    "body",
    [
        "<a href=1.jpg><img src=2.jpg srcset='3.jpg 1w, 4.jpg 2w'>" * 30_000,
        "<article>" * 1_000 + "<img src=1.jpg><a rel=license href=/1></a><a rel=license href=/2></a>" * 1_000,
        f"<img srcset='{'a' * 1_000_000}' src=1.jpg><img srcset='{', ' * 500_000}'><img srcset='{' 1w,' * 300_000}'>",
        f"<a href='2'>{' ' * 2_000_000}next{'»' * 1_000_000}</a>",
    ],
)
def test_no_page_takes_long(body: str) -> None:
    page = Selector(f"<html><body>{body}")
    began = time.process_time()
    html.pictures(page, BASE)
    html.next_page(page, BASE)
    assert time.process_time() - began < 15  # seconds; a lease ends after 45


@pytest.mark.parametrize(
    ("address", "meant"),
    [
        (" /1.jpg \n", "https://www.example.org/1.jpg"),
        ("//cdn.example.net/1.jpg#x", "https://cdn.example.net/1.jpg"),
        ("ftp://example.org/1.jpg", None),
        ("http://[::1", None),
        ("", None),
        (None, None),
        (7, None),
    ],
)
def test_an_address_is_one_of_the_web_or_none(address: object, meant: str | None) -> None:
    assert absolute(BASE, address) == meant


def test_knows_a_picture_by_its_address() -> None:
    assert is_picture("https://www.example.org/1.JPEG?download=1")
    assert not is_picture("https://wiki.example.org/wiki/File:1.jpg")
    assert not is_picture("https://www.example.org/jpg")
