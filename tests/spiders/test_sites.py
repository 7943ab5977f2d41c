"""What recordings cannot show of sources that visit addresses: long ones, several, and what cannot be read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from scrapy.http import HtmlResponse, Response, XmlResponse
from walks import walk, walking

from pixcrawler.base_spiders import Site
from pixcrawler.crawling import LOCAL
from pixcrawler.demo.replicas import NOTHING, replica_of
from pixcrawler.demo.replicas.serving import serving
from pixcrawler.errors import PixCrawlerError, SourceRefused, UsageError
from pixcrawler.jobs import Spent
from pixcrawler.opt_outs import JUDGED, Kind
from pixcrawler.rendering import RENDERED
from pixcrawler.spiders.page import Page
from pixcrawler.spiders.sitemap import Sitemap

PAGE = "https://www.example.org/gallery"
Begin = Callable[..., Site]


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Begin]:
    """Makes a spider that is ready to visit its first address; `addresses` are written to a list."""
    with ExitStack() as stack:

        def started(source: str = "page", addresses: tuple[str, ...] = (), **arguments: str) -> Site:
            if addresses:
                (tmp_path / "list.txt").write_text("\n".join(addresses))
                arguments["list"] = str(tmp_path / "list.txt")
            spider = stack.enter_context(walking(source, tmp_path, monkeypatch, **arguments))
            assert isinstance(spider, Site)
            return spider

        yield started


def page(body: str, url: str = PAGE) -> Response:
    return HtmlResponse(url, body=f"<html><body><p>.</p>{body}".encode(), headers={"Content-Type": "text/html"})


def sitemap(pictures: int) -> Response:
    urls = "".join(f"<url><loc>/{n}</loc><image><loc>/{n}.jpg</loc></image></url>" for n in range(pictures))
    return XmlResponse(f"{PAGE}.xml", body=f"<urlset>{urls}</urlset>".encode())


def test_a_long_one_is_taken_in_portions_and_asked_for_once(begin: Begin) -> None:
    spider = begin("sitemap", url=f"{PAGE}.xml", keywords="wren")
    assert not spider.page_request("wren", [0]).meta.get(LOCAL)
    first = spider.read_page(sitemap(2_500), "wren", [0])
    assert (len(first.items), first.cursor, first.spent) == (1_000, [1, [f"{PAGE}.xml", 1_000]], None)
    assert spider.page_request("wren", first.cursor).meta[LOCAL]
    second = spider.read_page(Response(PAGE), "wren", first.cursor)
    third = spider.read_page(Response(PAGE), "wren", second.cursor)
    assert (len(second.items), len(third.items), third.cursor, third.spent) == (1_000, 500, [1], Spent.EXHAUSTED)
    assert len({item.url for page in (first, second, third) for item in page.items}) == 2_500


def test_another_process_asks_for_a_long_one_again_and_goes_on(begin: Begin) -> None:
    spider = begin("sitemap", url=f"{PAGE}.xml", keywords="wren")
    cursor = json.loads(json.dumps([1, [f"{PAGE}.xml", 2_000]]))
    request = spider.page_request("wren", cursor)
    assert (request.url, request.meta[JUDGED]) == (f"{PAGE}.xml", Kind.PAGE)
    rest = spider.read_page(sitemap(2_500), "wren", cursor)
    assert [item.url for item in rest.items][:1] == ["https://www.example.org/2000.jpg"]
    assert (len(rest.items), rest.spent) == (500, Spent.EXHAUSTED)


def test_a_circle_of_pages_ends(begin: Begin) -> None:
    spider = begin(url=PAGE, keywords="wren")
    first = spider.read_page(page('<a rel="next" href="/2">2</a>'), "wren", [0])
    second = spider.read_page(
        page('<a rel="next" href="/gallery">1</a>', "https://www.example.org/2"), "wren", first.cursor
    )
    assert (first.cursor, second.cursor, second.spent) == ([1, "https://www.example.org/2"], [1], Spent.EXHAUSTED)


def test_keywords_visit_the_same_pages_each_for_itself(begin: Begin) -> None:
    spider = begin(url=PAGE, keywords="wren,robin")
    cursors = [spider.read_page(page('<a rel="next" href="/2">2</a>'), word, [0]).cursor for word in ("wren", "robin")]
    assert cursors == [[1, "https://www.example.org/2"]] * 2


def test_what_an_address_leads_to_comes_before_the_next_of_the_list(begin: Begin) -> None:
    spider = begin(addresses=(PAGE, "https://www.example.org/b"))
    first = spider.read_page(page('<a rel="next" href="/2">2</a>'), "list", [0])
    assert spider.page_request("list", first.cursor).url == "https://www.example.org/2"
    second = spider.read_page(page("", "https://www.example.org/2"), "list", first.cursor)
    assert spider.page_request("list", second.cursor).url == "https://www.example.org/b"
    assert second.spent is None
    assert spider.read_page(page("", "https://www.example.org/b"), "list", second.cursor).spent is Spent.EXHAUSTED


def test_an_address_that_cannot_be_read_is_passed_over_unless_none_can(begin: Begin) -> None:
    with serving(replica_of("page", 30)) as replica:
        good = replica.arguments("wren")["url"]
        done = walk(begin(addresses=(f"{replica.url}/gone", "no address", good, "http://[::1")), "list")
        assert len(done.items) == 30
        assert len(done.passed_over) == 3
        with pytest.raises(PixCrawlerError, match="answers 404"):
            walk(begin(addresses=("no address", f"{replica.url}/gone")), "list")


def test_pages_without_pictures_are_no_error(begin: Begin) -> None:
    with serving(replica_of("page")) as replica:
        done = walk(begin(**replica.arguments(NOTHING)), NOTHING)
    assert (done.items, done.spent, done.passed_over) == ({}, Spent.EXHAUSTED, [])


def test_owners_are_asked_before_what_is_looked_up_too(begin: Begin) -> None:
    with serving(replica_of("iiif", 60)) as replica:
        spider = begin("iiif", **replica.arguments("wren"))
        done = walk(spider, "wren", most_pages=2)
        request = spider.page_request("wren", done.cursors[-1])
        manifest = spider.read_page(read(request.url), "wren", done.cursors[-1])
    assert manifest.lookups
    assert {lookup.meta[JUDGED] for lookup in manifest.lookups} == {Kind.PAGE}


def read(url: str) -> Response:
    return Response(url, body=httpx.get(url).content)


def test_a_page_is_rendered_where_that_is_wished(begin: Begin) -> None:
    assert RENDERED in begin(url=PAGE, keywords="wren", rendered="yes").page_request("wren", [0]).meta
    assert RENDERED not in begin(url=PAGE, keywords="wren").page_request("wren", [0]).meta


@pytest.mark.parametrize("url", ["", "gallery", "file:///etc/passwd", "http://", "http://[::1", "javascript:1"])
def test_refuses_what_is_no_address(url: str) -> None:
    with pytest.raises(UsageError, match="url: expected an address such as"):
        Page(url=url)


def test_needs_an_address_or_a_list() -> None:
    with pytest.raises(UsageError, match="sitemap needs an address or a list"):
        Sitemap(keywords="wren")


def test_says_which_address_is_none(begin: Begin) -> None:
    spider = begin(addresses=("https://www.example.org/", "no address"))
    with pytest.raises(SourceRefused, match="'no address' is no address"):
        spider.page_request("list", [1])
