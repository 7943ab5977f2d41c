"""The demo's source as a client meets it: the search of Openverse, good pictures and every fault."""

from __future__ import annotations

import csv
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image

from pixcrawler import imaging
from pixcrawler.demo import bodies, catalogue
from pixcrawler.demo.catalogue import Content, Entry, Kind
from pixcrawler.demo.source import DemoSource
from pixcrawler.errors import NotAnImage
from pixcrawler.jobs import Reason
from pixcrawler.lists import read_lines

FIELDS = {
    *("id", "title", "indexed_on", "foreign_landing_url", "url", "creator", "creator_url", "license"),
    *("license_version", "license_url", "provider", "source", "category", "filesize", "filetype", "tags"),
    *("attribution", "fields_matched", "mature", "height", "width", "thumbnail", "detail_url", "related_url"),
    "unstable__sensitivity",
}


@pytest.fixture(scope="module")
def source() -> Iterator[DemoSource]:
    with DemoSource(slow_seconds=0.2) as running:
        yield running


@pytest.fixture
def client(source: DemoSource) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=source.url, trust_env=False) as client:
        yield client


def the(source: DemoSource, kind: Kind) -> Entry:
    return next(entry for entry in source.entries if entry.kind is kind)


def search(client: httpx.Client, **parameters: Any) -> httpx.Response:
    return client.get("/v1/images/", params=parameters)


def many(number: int, keyword: str = "city night") -> list[Entry]:
    return [catalogue.entry(Kind.GOOD, Content(keyword, seed, "jpg", 85), seed) for seed in range(number)]


# The search.


def test_walking_the_pages_yields_every_entry_of_the_api_once(source: DemoSource, client: httpx.Client) -> None:
    first = search(client, q="mountain lake", page_size=20).json()
    pages = [search(client, q="mountain lake", page=page).json() for page in range(1, first["page_count"] + 1)]
    found = [result["id"] for page in pages for result in page["results"]]
    assert found == [entry.id for entry in source.entries if entry.keyword == "mountain lake" and entry.in_api]
    assert first["result_count"] == len(found)
    assert first["page_count"] == -(-len(found) // 20)
    assert [page["page"] for page in pages] == list(range(1, len(pages) + 1))


def test_items_have_the_fields_of_openverse(client: httpx.Client) -> None:
    answer = search(client, q="city night").json()
    assert set(answer) == {"result_count", "page_count", "page_size", "page", "results"}
    assert all(set(item) == FIELDS for item in answer["results"])


def test_items_lead_to_their_pictures(source: DemoSource, client: httpx.Client) -> None:
    good = {entry.id for entry in source.entries if entry.kind is Kind.GOOD}
    item = next(item for item in search(client, q="city night").json()["results"] if item["id"] in good)
    assert imaging.inspect(client.get(item["url"]).content).width > 200
    assert urlsplit(item["url"]).hostname == "127.0.0.1"
    assert item["attribution"].startswith(f'"{item["title"]}"')


def test_the_keyword_matches_in_any_case(client: httpx.Client) -> None:
    assert search(client, q="MOUNTAIN  Lake ").json() == search(client, q="mountain lake").json()


@pytest.mark.parametrize("query", ["red panda", "", "mountain"])
def test_what_nobody_offers_is_an_empty_page(client: httpx.Client, query: str) -> None:
    answer = search(client, q=query)
    assert answer.status_code == 200
    assert answer.json() == {"result_count": 0, "page_count": 0, "page_size": 20, "page": 1, "results": []}


def test_a_page_after_the_last_is_empty(client: httpx.Client) -> None:
    assert search(client, q="mountain lake", page=11).json()["results"] == []


def test_larger_pages_are_refused_as_openverse_does(client: httpx.Client) -> None:
    answer = search(client, q="mountain lake", page_size=21)
    assert answer.status_code == 401
    assert answer.json() == {"detail": "page_size may not exceed 20 for anonymous requests"}


def test_240_results_can_be_reached_and_no_more() -> None:
    with DemoSource(many(300)) as source, httpx.Client(base_url=source.url, trust_env=False) as client:
        last = search(client, q="city night", page=12)
        beyond = search(client, q="city night", page=13)
    assert (last.json()["result_count"], last.json()["page_count"]) == (240, 12)
    assert len(last.json()["results"]) == 20
    assert beyond.status_code == 401
    assert beyond.json() == {"detail": "pagination depth may not exceed 240 for anonymous requests"}


@pytest.mark.parametrize("parameters", [{"page": "two"}, {"page": 0}, {"page_size": -1}, {"page_size": "²"}])
def test_a_bad_number_is_a_bad_request(client: httpx.Client, parameters: dict[str, Any]) -> None:
    answer = search(client, q="mountain lake", **parameters)
    assert answer.status_code == 400
    assert list(answer.json()["detail"]) == list(parameters)


def test_replies_announce_the_rate_limits(client: httpx.Client) -> None:
    headers = search(client, q="mountain lake").headers
    assert headers["x-ratelimit-limit-anon_burst"] == "20/min"
    assert headers["x-ratelimit-limit-anon_sustained"] == "200/day"
    assert int(headers["x-ratelimit-available-anon_burst"]) <= 20


def test_refuses_as_many_searches_as_told() -> None:
    with DemoSource(many(1)) as source, httpx.Client(base_url=source.url, trust_env=False) as client:
        source.refuse(2)
        answers = [search(client, q="city night") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].headers["retry-after"] == "1"


# The pictures.


@pytest.mark.parametrize("kind", [Kind.GOOD, Kind.NEAR_DUPLICATE, Kind.BYTE_DUPLICATE, Kind.SLOW])
def test_good_pictures_come_whole(source: DemoSource, client: httpx.Client, kind: Kind) -> None:
    answer = client.get(source.address(the(source, kind)))
    assert answer.status_code == 200
    assert imaging.inspect(answer.content).format == answer.headers["content-type"].removeprefix("image/")


def test_a_byte_duplicate_is_the_same_file_elsewhere(source: DemoSource, client: httpx.Client) -> None:
    copy = the(source, Kind.BYTE_DUPLICATE)
    original = next(e for e in source.entries if e.kind is Kind.GOOD and e.content == copy.content)
    assert source.address(copy) != source.address(original)
    assert client.get(source.address(copy)).content == client.get(source.address(original)).content


def test_a_slow_picture_comes_in_dribbles(source: DemoSource, client: httpx.Client) -> None:
    slow = the(source, Kind.SLOW)
    started = monotonic()
    with client.stream("GET", source.address(slow)) as answer:
        parts = list(answer.iter_raw())
    assert monotonic() - started >= 0.2
    assert len(parts) >= 5
    assert b"".join(parts) == bodies.body(slow)


def test_a_redirect_leads_to_a_picture(source: DemoSource, client: httpx.Client) -> None:
    address = source.address(the(source, Kind.REDIRECT))
    assert client.get(address).status_code == 302
    imaging.inspect(client.get(address, follow_redirects=True).content)


def test_a_cut_picture_is_complete_for_http_and_damaged_for_a_decoder(source: DemoSource, client: httpx.Client) -> None:
    answer = client.get(source.address(the(source, Kind.CUT)))
    assert answer.headers["content-type"] == "image/jpeg"
    assert refused(answer.content) == Reason.DAMAGED


def test_a_page_is_labelled_as_picture(source: DemoSource, client: httpx.Client) -> None:
    answer = client.get(source.address(the(source, Kind.HTML)))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    assert refused(answer.content) == Reason.NOT_AN_IMAGE


def test_a_tiny_picture_is_tiny(source: DemoSource, client: httpx.Client) -> None:
    with Image.open(BytesIO(client.get(source.address(the(source, Kind.TINY))).content)) as picture:
        assert picture.size == (64, 48)


def test_a_bomb_is_recognised(source: DemoSource, client: httpx.Client) -> None:
    answer = client.get(source.address(the(source, Kind.BOMB)))
    assert answer.headers["content-type"] == "image/png"
    assert refused(answer.content) == Reason.BOMB


@pytest.mark.parametrize(("kind", "status"), [(Kind.MISSING, 404), (Kind.UNAVAILABLE, 503)])
def test_some_are_not_there(source: DemoSource, client: httpx.Client, kind: Kind, status: int) -> None:
    answers = [client.get(source.address(the(source, kind))) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [status, status]


@pytest.mark.parametrize("path", ["/", "/robots.txt", "/images/nothing.jpg", "/v1/audio/", "/files/nothing.jpg"])
def test_anything_else_is_not_found(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 404


def refused(body: bytes) -> str:
    with pytest.raises(NotAnImage) as caught:
        imaging.inspect(body)
    return caught.value.reason


# The server.


def test_counts_what_it_is_asked_for() -> None:
    entries = many(1)
    with DemoSource(entries) as source:
        with ThreadPoolExecutor(8) as clients:
            list(clients.map(lambda _: httpx.get(source.address(entries[0]), trust_env=False), range(24)))
        httpx.get(f"{source.url}/v1/images/?q=x", trust_env=False)
        httpx.get(f"{source.url}/v1/images/?q=y", trust_env=False)
        assert source.hits == {entries[0].path: 24, "/v1/images/": 2}


def test_a_client_that_hangs_up_disturbs_nobody(capfd: pytest.CaptureFixture[str]) -> None:
    slow = catalogue.entry(Kind.SLOW, Content("city night", 1, "jpg", 85), 1)
    with DemoSource([slow], slow_seconds=0.2) as source:
        address = urlsplit(source.url)
        with socket.create_connection((address.hostname, address.port)) as connection:
            connection.sendall(f"GET {slow.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            connection.recv(1)
        for thread in threading.enumerate():
            if "process_request_thread" in thread.name:
                thread.join()
        assert httpx.get(source.address(slow), trust_env=False).content == bodies.body(slow)
    assert capfd.readouterr() == ("", "")


def test_ends_with_its_block() -> None:
    with DemoSource(many(1)) as source:
        assert httpx.get(source.url, trust_env=False).status_code == 404
    with pytest.raises(httpx.ConnectError):
        httpx.get(source.url, trust_env=False)


def test_knows_its_keywords() -> None:
    with DemoSource(many(2) + many(1, "mountain lake")) as source:
        assert source.keywords == ("city night", "mountain lake")


# The list.


def test_the_list_has_its_lines_and_columns(source: DemoSource, tmp_path: Path) -> None:
    source.write_list(tmp_path / "list.csv")
    with (tmp_path / "list.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == ["url", "caption", "keyword", "license", "license_url", "creator", "page_url"]
    assert len(lines) >= 80
    assert [line["url"] for line in lines] == [source.address(e) for e in source.entries if e.in_list]


def test_the_list_can_be_read_by_pixcrawler(source: DemoSource, tmp_path: Path) -> None:
    source.write_list(tmp_path / "list.csv")
    lines = [line for _, line in read_lines(tmp_path / "list.csv")]
    entries = [entry for entry in source.entries if entry.in_list]
    assert [(line.keyword, line.caption, line.creator) for line in lines] == [
        (entry.keyword, entry.title, entry.creator) for entry in entries
    ]


def test_some_pictures_are_only_in_the_list(source: DemoSource, client: httpx.Client, tmp_path: Path) -> None:
    source.write_list(tmp_path / "list.csv")
    listed = {line.url for _, line in read_lines(tmp_path / "list.csv")}
    pages = [search(client, q=keyword, page=page).json() for keyword in source.keywords for page in range(1, 7)]
    searched = {item["url"] for page in pages for item in page["results"]}
    assert len(listed - searched) > 40
    assert len(searched - listed) > 100
    assert len(searched & listed) > 20
    assert len(searched | listed) == len(source.entries)
