"""What a hostile web can cost: bytes, memory, time. Every crawl is a process of its own."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from loopback import Crawl, closed_port, finished, started
from middlewares.raw_web import (
    MEGABYTE,
    RawWeb,
    answer,
    bombs,
    bytes_of,
    drip,
    endless,
    raw_web,
    reset,
)
from pictures import encoded, photo

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
MOST_BYTES = 25 * MEGABYTE  # of an answer
IN_THE_AIR = 12 * MEGABYTE  # what the buffers of two sockets and a pipe may hold besides
GROWTH = 64 * MEGABYTE  # of memory, for whatever is fetched
PICTURE = encoded(photo(1))
EXEMPT = {"PIXCRAWLER_OPT_OUT_EXEMPT": "127.0.0.1"}  # nothing is asked for besides


@pytest.fixture
def web() -> Iterator[RawWeb]:
    with raw_web() as server:
        yield server


class Watch(threading.Thread):
    """Looks at the most memory a process has had."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.status = Path(f"/proc/{pid}/status")
        self.peak = 0  # bytes
        self.over = threading.Event()
        self.start()

    def run(self) -> None:
        while not self.over.wait(0.02):
            try:
                lines = dict(line.split(":", 1) for line in self.status.read_text().splitlines())
                self.peak = int(lines["VmHWM"].split()[0]) * 1024
            except (OSError, KeyError):
                return


def crawl(folder: Path, urls: list[str], *settings: str) -> tuple[Crawl, int]:
    """The crawl of a list, one request at a time, and the most memory its process had."""
    folder.mkdir()
    (folder / "list.txt").write_text("".join(f"{url}\n" for url in urls))
    alone = ("-s", "CONCURRENT_REQUESTS_PER_DOMAIN=1")
    options = [word for setting in settings for word in ("-s", setting)]
    process = started(folder / "data", "urls", "-a", f"list={folder}/list.txt", *alone, *options, **EXEMPT)
    watch = Watch(process.pid)
    ended = finished(process, folder / "data", 90)
    watch.over.set()
    watch.join()
    assert "Traceback" not in ended.log
    assert len(ended.manifest) == len(urls)
    ended.check_files()
    return ended, watch.peak


def test_bytes_and_memory_are_bounded(tmp_path: Path, web: RawWeb) -> None:
    good = web.put("/good.jpg", answer(PICTURE))
    _, usual = crawl(tmp_path / "usual", [good])
    piece = bytes(65536)
    chunk = b"10000\r\n" + piece + b"\r\n"
    urls = [
        web.put("/claims-a-terabyte", endless(OK + b"Content-Length: 1000000000000\r\n\r\n", piece)),
        web.put("/endless", endless(OK + b"\r\n", piece)),
        web.put("/endless-chunks", endless(CHUNKED, chunk)),
        *(web.put(f"/{n}", answer(body, Content_Encoding=name)) for n, (name, body) in enumerate(bombs().items())),
    ]
    ended, peak = crawl(tmp_path / "bombs", urls)
    assert set(ended.reasons.values()) == {"too_large"}
    assert max(web.sent.values()) < MOST_BYTES + IN_THE_AIR
    assert web.hits.total() == 1 + len(urls)  # none a second time
    assert peak - usual < GROWTH


def test_headers_are_bounded(tmp_path: Path, web: RawWeb) -> None:
    line = b"X-Padding: " + b"x" * 8000 + b"\r\n"
    urls = [
        web.put("/12-megabytes", bytes_of(OK + line * 1500 + b"Content-Length: 0\r\n\r\n")),
        web.put("/endless-headers", endless(OK, line)),
        web.put("/endless-line", endless(OK + b"X: ", bytes(65536).replace(b"\0", b"x"))),
        web.put("/endless-continuation", endless(OK + b"X: y\r\n", b" " + b"y" * 8000 + b"\r\n")),
        web.put("/endless-interim", endless(b"", b"HTTP/1.1 100 Continue\r\n" + line + b"\r\n")),
        web.put("/endless-status", endless(b"", b"H" * 65536)),
    ]
    _, usual = crawl(tmp_path / "usual", [web.put("/good.jpg", answer(PICTURE))])
    ended, peak = crawl(tmp_path / "headers", urls, "DOWNLOAD_TIMEOUT=5")
    assert set(ended.reasons.values()) == {"unreachable"}
    assert max(web.sent.values()) < IN_THE_AIR
    assert peak - usual < GROWTH


def test_what_was_packed_is_unpacked(tmp_path: Path, web: RawWeb) -> None:
    packed = gzip.compress(PICTURE)
    packed_twice = gzip.compress(gzip.compress(encoded(photo(2))))
    urls = {
        web.put("/packed", answer(packed, Content_Encoding="gzip")): "kept",
        web.put("/packed-twice", answer(packed_twice, Content_Encoding="gzip, gzip")): "kept",
        web.put("/said-once", answer(gzip.compress(packed), Content_Encoding="gzip")): "not_an_image",
        web.put("/not-packed", answer(encoded(photo(3)), Content_Encoding="gzip")): "damaged",
        web.put("/cut", answer(gzip.compress(encoded(photo(4)))[:9000], Content_Encoding="gzip")): "damaged",
        web.put("/nothing", answer(b"", Content_Encoding="gzip")): "not_an_image",
        web.put("/no-deflate", answer(encoded(photo(5)), Content_Encoding="deflate")): "damaged",
        web.put("/no-br", answer(encoded(photo(6)), Content_Encoding="br")): "damaged",
        web.put("/no-zstd", answer(encoded(photo(7)), Content_Encoding="zstd")): "damaged",
    }
    ended, _ = crawl(tmp_path / "packed", list(urls))
    assert ended.reasons == urls


def test_time_is_bounded_however_slowly_it_drips(tmp_path: Path, web: RawWeb) -> None:
    urls = [
        web.put("/drip", drip(OK + b"Content-Length: 100000\r\n\r\n", 0.2)),
        web.put("/drip-of-headers", drip(OK + b"X: ", 0.2)),
        web.put("/silence", drip(b"", 60)),
    ]
    ended, _ = crawl(tmp_path / "drips", urls, "DOWNLOAD_TIMEOUT=1", "CONCURRENT_REQUESTS_PER_DOMAIN=8")
    assert set(ended.reasons.values()) == {"timeout"}
    assert set(web.hits.values()) == {2}
    first = web.begun[0][1]
    assert all(moment - first < 5 for _, moment in web.begun)  # the second try came when the first was over


@pytest.mark.parametrize(
    ("name", "reason", "tries"),
    [
        ("cut", "unreachable", 2),
        ("reset", "unreachable", 2),
        ("bad-chunk", "unreachable", 2),
        ("cut-chunk", "unreachable", 2),
        ("no-http", "unreachable", 2),
        ("no-status", "unreachable", 2),
        ("hangs-up", "unreachable", 2),
        ("empty", "not_an_image", 1),
        ("no-content", "http_error", 1),
        ("html", "not_an_image", 1),
        ("svg", "not_an_image", 1),
        ("json", "not_an_image", 1),
        ("401", "http_error", 1),
        ("403", "http_error", 1),
        ("404", "http_error", 1),
        ("410", "http_error", 1),
        ("500", "server_error", 2),
    ],
)
def test_every_fault_has_its_reason_and_its_tries(
    every_fault: tuple[Crawl, dict[str, int]], name: str, reason: str, tries: int
) -> None:
    ended, hits = every_fault
    assert [was for url, was in ended.reasons.items() if url.endswith(f"/{name}")] == [reason]
    assert hits[f"/{name}"] == tries


@pytest.fixture(scope="module")
def every_fault(tmp_path_factory: pytest.TempPathFactory) -> tuple[Crawl, dict[str, int]]:
    jpeg = {"Content_Type": "image/jpeg"}
    plays = {
        "cut": bytes_of(OK + b"Content-Length: 100000\r\n\r\n" + PICTURE[:5000]),
        "reset": reset(OK + b"Content-Length: 100000\r\n\r\n" + PICTURE[:5000]),
        "bad-chunk": bytes_of(CHUNKED + b"nonsense\r\n" + PICTURE),
        "cut-chunk": bytes_of(CHUNKED + b"10000\r\n" + PICTURE[:5000]),
        "no-http": bytes_of(b"SSH-2.0-OpenSSH_9.9\r\n"),
        "no-status": bytes_of(b"HTTP/1.1 nonsense\r\n\r\n"),
        "hangs-up": bytes_of(b""),
        "empty": answer(),
        "no-content": answer(status="204 No Content"),
        "html": answer(b"<!doctype html><title>Not found</title>", **jpeg),
        "svg": answer(b'<svg xmlns="http://www.w3.org/2000/svg" width="640" height="480"/>', **jpeg),
        "json": answer(json.dumps({"error": "no such picture"}).encode(), **jpeg),
        **{status: answer(b"no", status=f"{status} No") for status in ("401", "403", "404", "410", "500")},
    }
    with raw_web() as web:
        urls = [web.put(f"/{name}", play) for name, play in plays.items()]
        ended, _ = crawl(tmp_path_factory.mktemp("faults") / "crawl", urls, "DOWNLOAD_TIMEOUT=5")
        return ended, dict(web.hits)


def test_no_encryption_is_no_answer(tmp_path: Path, web: RawWeb) -> None:
    plain = web.put("/good.jpg", answer(PICTURE)).replace("http:", "https:")
    nobody = f"https://127.0.0.1:{closed_port()}/"
    ended, _ = crawl(tmp_path / "tls", [plain, nobody], "DOWNLOAD_TIMEOUT=2")
    assert set(ended.reasons.values()) <= {"unreachable", "timeout"}


def test_nothing_listens(tmp_path: Path, web: RawWeb) -> None:
    (tmp_path / "list.txt").write_text(web.put("/silence", drip(b"", 60)))
    process = started(tmp_path / "data", "urls", "-a", f"list={tmp_path}/list.txt", **EXEMPT)
    try:
        assert web.asked.wait(30)
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        connections = [connection for one in family for connection in one.net_connections("inet")]
        assert [one.status for one in connections] == [psutil.CONN_ESTABLISHED]  # the one to us
    finally:
        process.kill()
        finished(process, tmp_path / "data")
