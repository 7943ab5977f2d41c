"""`scrapy crawl` as people run it, without a database, against every fault a web can have."""

from __future__ import annotations

import json
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback import Crawl, Web, closed_port, crawl, faulty_urls, finished, said, started, web
from pictures import encoded, photo


@pytest.fixture
def loopback() -> Iterator[Web]:
    with web() as server:
        yield server


def crawl_list(tmp_path: Path, urls: list[str], *more: str) -> Crawl:
    return crawl(tmp_path / "data", "urls", "-a", f"list={written(tmp_path, urls)}", *more)


def written(folder: Path, urls: list[str]) -> Path:
    path = folder / "list.txt"
    path.write_text("".join(f"{url}\n" for url in urls))
    return path


def search(tmp_path: Path, server: Web, keywords: str, *more: str) -> Crawl:
    source = ("openverse", "-a", f"keywords={keywords}", "-a", f"base_url={server.address}")
    return crawl(tmp_path / "data", *source, *more)


def expect_orderly(ended: Crawl) -> None:
    """It ended by itself, said so, and nothing surprised it."""
    assert ended.status == 0
    assert "Traceback" not in ended.log
    assert "ERROR" not in ended.log
    assert "Warning" not in ended.log
    ended.check_files()


def test_every_fault_has_one_reason(tmp_path: Path, loopback: Web) -> None:
    loopback.put("/target.jpg", encoded(photo(6)))
    expected = faulty_urls(loopback)
    ended = crawl_list(tmp_path, list(expected), "-s", "DOWNLOAD_TIMEOUT=2")
    expect_orderly(ended)
    assert ended.reasons == expected
    assert len(ended.manifest) == len(expected)
    assert f"found {len(expected)}" in ended.output


def test_keeps_the_bytes_as_they_were_served(tmp_path: Path, loopback: Web) -> None:
    served = {
        loopback.put("/a.jpg", encoded(photo(1), quality=31, comment=b"an odd one") + b"trailing bytes"),
        loopback.put("/b.png", encoded(photo(2), "png", compress_level=1)),
        loopback.put("/c.webp", encoded(photo(3), "webp", lossless=True)),
    }
    ended = crawl_list(tmp_path, sorted(served))
    expect_orderly(ended)
    assert {line["url"] for line in ended.kept} == served
    for line in ended.kept:
        path = line["url"].removeprefix(loopback.address)
        assert (ended.folder / line["file"]).read_bytes() == loopback.answers[path].body
        assert (line["width"], line["height"]) == (640, 480)


def test_finds_duplicates(tmp_path: Path, loopback: Web) -> None:
    first = loopback.put("/first.jpg", encoded(photo(1)))
    again = loopback.put("/same.jpg", encoded(photo(1)))
    large = loopback.put("/large.jpg", encoded(photo(2), quality=95))
    small = loopback.put("/small.jpg", encoded(photo(2).resize((480, 360)), quality=70))
    ended = crawl_list(tmp_path, [first, again, large, small, f"{first}#part", f"{first}?utm_source=x"])
    expect_orderly(ended)
    assert len(ended.manifest) == 4  # the last two are the first
    assert {ended.reasons[first], ended.reasons[again]} == {"kept", "duplicate_bytes"}
    assert {ended.reasons[large], ended.reasons[small]} == {"kept", "near_duplicate"}
    assert loopback.hits["/first.jpg"] == 1


def test_keeps_no_more_than_asked_for(tmp_path: Path, loopback: Web) -> None:
    urls = [loopback.address + path for path in loopback.photos(60)]
    ended = crawl_list(tmp_path, urls, "-a", "max_images=5")
    expect_orderly(ended)
    assert len(ended.kept) == 5
    assert sum(loopback.hits.values()) <= 5 + 16
    assert set(ended.reasons.values()) == {"kept", "over_quota"}
    assert "succeeded: kept 5 of 5 asked for" in ended.output


def test_ends_with_its_last_picture(tmp_path: Path, loopback: Web) -> None:
    [path] = loopback.photos(1)
    process = started(tmp_path, "urls", "-a", f"list={written(tmp_path, [loopback.address + path])}")
    assert loopback.asked.wait(30)
    began = time.monotonic()
    expect_orderly(finished(process, tmp_path))
    assert time.monotonic() - began < 4  # the engine's own beat is 5


def test_one_signal_ends_it_cleanly(tmp_path: Path, loopback: Web) -> None:
    hanging = [loopback.put(f"/hang/{n}.jpg", fault="hang") for n in range(100)]
    good = [loopback.address + path for path in loopback.photos(3)]
    process = started(tmp_path, "urls", "-a", f"list={written(tmp_path, [*good, *hanging])}")
    assert loopback.asked.wait(30)
    process.send_signal(signal.SIGTERM)
    said(process, "Closing spider")
    loopback.ended.set()
    ended = finished(process, tmp_path)
    expect_orderly(ended)
    assert len(ended.manifest) == 103
    assert "lost: kept" in ended.output
    assert "interrupted" in ended.output
    assert set(ended.reasons.values()) <= {"kept", "cancelled"}
    assert len(loopback.hits) <= 3 + 8  # the good ones, and what was under way


def test_searches_until_it_has_what_was_asked_for(tmp_path: Path, loopback: Web) -> None:
    loopback.results = {"red panda": loopback.photos(50), "otter": [*loopback.photos(3, 2000), "/nothing.jpg"]}
    ended = search(tmp_path, loopback, "red panda,otter", "-a", "max_images=30")
    expect_orderly(ended)
    kept = [line["keyword"] for line in ended.kept]
    assert (kept.count("red panda"), kept.count("otter")) == (27, 3)
    line = ended.kept[0]
    assert line["license"] == "by 4.0"
    assert line["title"].startswith("/photo/")


def test_says_why_it_came_short(tmp_path: Path, loopback: Web) -> None:
    loopback.results = {"red panda": loopback.photos(2), "otter": []}
    ended = search(tmp_path, loopback, "red panda,otter", "-a", "max_images=30")
    expect_orderly(ended)
    assert "short: kept 2 of 30 asked for; found 2" in ended.output
    assert "red panda brought 2, its source has no more; otter brought 0, its source has no more" in ended.output


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"status": 403}, "failed: kept 0 of 5 asked for; found 0\n  openverse: answers 403"),
        ({"body": b"<html>"}, "openverse: answers a page that cannot be read"),
        ({"status": 429, "headers": {"Retry-After": "3600"}}, "deferred: kept 0 of 5 asked for; found 0\n  openverse:"),
    ],
)
def test_ends_when_its_source_refuses(tmp_path: Path, loopback: Web, answer: dict[str, Any], expected: str) -> None:
    loopback.put("/v1/images/", **answer)
    ended = search(tmp_path, loopback, "otter", "-a", "max_images=5")
    assert expected in ended.output
    assert "Traceback" not in ended.log
    assert loopback.hits.total() == 1


def test_waits_as_long_as_its_source_asks_for(tmp_path: Path, loopback: Web) -> None:
    loopback.results = {"otter": loopback.photos(1)}
    loopback.put("/v1/images/", status=429, headers={"Retry-After": "1"})
    keywords = ("-a", "keywords=otter", "-a", f"base_url={loopback.address}")
    process = started(tmp_path, "openverse", *keywords)
    assert loopback.asked.wait(30)
    del loopback.answers["/v1/images/"]
    ended = finished(process, tmp_path)
    expect_orderly(ended)
    assert len(ended.kept) == 1


def test_asks_a_broken_source_three_times(tmp_path: Path) -> None:
    base_url = f"http://127.0.0.1:{closed_port()}"
    ended = crawl(tmp_path, "openverse", "-a", "keywords=otter", "-a", f"base_url={base_url}")
    assert "lost: kept 0" in ended.output
    assert "openverse: does not answer" in ended.output
    assert "Traceback" not in ended.log


def test_a_full_disk_ends_it_in_one_line(tmp_path: Path, loopback: Web) -> None:
    urls = [loopback.put(f"/{n}.png", encoded(photo(n), "png")) for n in range(20)]
    process = started(tmp_path, "urls", "-a", f"list={written(tmp_path, urls)}")
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (100_000, 100_000))  # the pictures have 400 kB
    ended = finished(process, tmp_path)
    assert "Traceback" not in ended.log
    assert [line for line in ended.log.splitlines() if "ERROR" in line and "file too large" in line]
    assert "failed: kept 0; found 20" in ended.output
    assert set(ended.reasons.values()) == {"abandoned"}
    ended.check_files()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["openverse"], "openverse needs keywords"),
        (["openverse", "-a", "keywords=otter,,owl"], "keywords: "),
        (["openverse", "-a", "keywords=otter", "-a", "max_images=0"], "max_images: "),
        (["openverse", "-a", "keywords=otter", "-a", "max_images=-3"], "max_images: "),
        (["openverse", "-a", "keywords=otter", "-a", "max_images=many"], "max_images: "),
        (["openverse", "-a", "keywords=otter", "-a", "base_url=ftp://x"], "base_url: "),
        (["openverse", "-a", "keywords=otter", "-a", "delay=0"], "unknown argument 'delay'"),
        (["openverse", "-a", "_job=1-1", "-a", "keywords=otter"], "takes no other arguments"),
        (["urls"], "urls needs a list"),
        (["urls", "-a", "list=/no/such/file.txt"], "there is no file /no/such/file.txt"),
        (["nobody"], "unknown source 'nobody'; known are artic, baidu"),
    ],
)
def test_wrong_use_is_one_line(tmp_path: Path, arguments: list[str], expected: str) -> None:
    ended = crawl(tmp_path, *arguments)
    assert ended.status == 2
    assert expected in ended.log.splitlines()[-1]
    assert "Traceback" not in ended.log
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n\0\0\0"])
def test_a_list_that_is_none_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "list.txt").write_bytes(content)
    ended = crawl(tmp_path / "data", "urls", "-a", f"list={tmp_path}/list.txt")
    assert ended.status == 2
    assert "list.txt: " in ended.log.splitlines()[-1]
    assert not (tmp_path / "data").exists()


def test_a_data_folder_that_cannot_be_written_is_one_line(tmp_path: Path, loopback: Web) -> None:
    (tmp_path / "data").write_text("a file")
    ended = crawl_list(tmp_path, [loopback.address])
    assert ended.status == 2
    assert "PIXCRAWLER_DATA_DIR cannot be written" in ended.log.splitlines()[-1]
    assert "Traceback" not in ended.log


def test_the_manifest_is_json(tmp_path: Path, loopback: Web) -> None:
    paths = loopback.photos(1)
    ended = crawl_list(tmp_path, [loopback.address + paths[0], loopback.address + "/nothing"])
    for line in (ended.folder / "manifest.jsonl").read_text("utf-8").splitlines():
        assert {"decision", "reason", "url", "source", "keyword", "file"} <= json.loads(line).keys()
