"""What a host may ask for: fewer at once, a pause, and who we are. 127.0.0.1 and localhost are two hosts here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from loopback import Crawl, finished, started
from pictures import encoded, photo

import pixcrawler

HERE, THERE = "127.0.0.1", "localhost"
AT_ONCE = 8  # requests to a host

Headers = dict[str, str]


@dataclass
class Hit:
    """One request; times are `time.monotonic()`."""

    host: str
    path: str
    began: float
    user_agent: str
    ended: float = 0.0
    status: int = 200


class Hosts(ThreadingHTTPServer):
    """Pictures under /<number>.jpg; a mood may answer in their place."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__((HERE, 0), _Handler)
        self.hits: list[Hit] = []
        self.moods: dict[str, Callable[[Hit], tuple[int, Headers] | None]] = {}
        self.latency = 0.05  # seconds before every answer
        self.ended = threading.Event()

    def urls(self, host: str, numbers: range) -> list[str]:
        return [f"http://{host}:{self.server_port}/{n}.jpg" for n in numbers]

    def of(self, host: str) -> list[Hit]:
        return [hit for hit in self.hits if hit.host == host]

    def handle_error(self, *_: object) -> None:
        pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hosts

    def do_GET(self) -> None:
        hit = Hit(self.headers["Host"].split(":")[0], self.path, time.monotonic(), self.headers["User-Agent"])
        self.server.hits.append(hit)
        mood = self.server.moods.get(hit.host)
        hit.status, headers = (mood(hit) if mood else None) or (200, {})
        self.server.ended.wait(self.server.latency)
        hit.ended = time.monotonic()  # before anybody can have the answer and ask for the next
        body = encoded(photo(int(self.path[1:-4]), (320, 240))) if hit.status == 200 else b""
        self.send_response(hit.status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    server = Hosts()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.ended.set()
    server.shutdown()
    server.server_close()
    thread.join()


def crawl(folder: Path, urls: list[str], *more: str, **environment: str) -> Crawl:
    (folder / "list.txt").write_text("".join(f"{url}\n" for url in urls))
    names = f"{HERE},{THERE}"
    env = {"PIXCRAWLER_ALLOW_HOSTS": names, "PIXCRAWLER_OPT_OUT_EXEMPT": names} | environment
    ended = finished(started(folder / "data", "urls", "-a", f"list={folder}/list.txt", *more, **env), folder / "data")
    assert ended.status == 0
    assert "Traceback" not in ended.log
    assert len(ended.manifest) == len(urls)
    return ended


def most_at_once(hits: list[Hit]) -> int:
    changes = sorted([(hit.began, 1) for hit in hits] + [(hit.ended, -1) for hit in hits])
    at_once = most = 0
    for _, change in changes:
        at_once += change
        most = max(most, at_once)
    return most


def once(status: int, retry_after: Callable[[], str]) -> Callable[[Hit], tuple[int, Headers] | None]:
    """Asks the first who comes for a pause."""
    left = iter([retry_after])
    return lambda _: next(((status, {"Retry-After": word()}) for word in left), None)


def date(seconds: float) -> str:
    """The moment so many seconds from now, as HTTP writes it: without fractions."""
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


def until_calm(seconds: int) -> Callable[[Hit], tuple[int, Headers] | None]:
    """Asks for a pause of so many seconds, and refuses everybody until it is over."""
    began: list[float] = []

    def mood(hit: Hit) -> tuple[int, Headers] | None:
        began.append(hit.began)
        calm = hit.began - began[0] >= seconds
        return None if calm else (429, {"Retry-After": str(seconds)})

    return mood


def test_opens_as_many_connections_as_a_browser(tmp_path: Path, hosts: Hosts) -> None:
    hosts.latency = 0.2
    crawl(tmp_path, hosts.urls(HERE, range(40)) + hosts.urls(THERE, range(40, 80)))
    for host in (HERE, THERE):
        assert most_at_once(hosts.of(host)) == AT_ONCE


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("kind", ["seconds", "date"])
def test_waits_as_long_as_it_is_asked_to(tmp_path: Path, hosts: Hosts, status: int, kind: str) -> None:
    least = 2
    hosts.moods[HERE] = once(status, lambda: str(least) if kind == "seconds" else date(least + 1))
    ended = crawl(tmp_path, hosts.urls(HERE, range(3)), "-s", "CONCURRENT_REQUESTS_PER_DOMAIN=1")
    assert set(ended.reasons.values()) == {"kept"}
    first, second, *_ = hosts.hits
    assert first.status == status
    assert second.began - first.ended >= least - 0.1
    assert len(hosts.hits) == 1 + 3


def test_a_pause_holds_up_nobody_else(tmp_path: Path, hosts: Hosts) -> None:
    seconds = 6
    hosts.moods[HERE] = until_calm(seconds)
    ended = crawl(tmp_path, hosts.urls(HERE, range(100)) + hosts.urls(THERE, range(100, 140)))
    assert set(ended.reasons.values()) == {"kept"}
    first = hosts.of(HERE)[0].began
    told = [hit for hit in hosts.of(HERE) if hit.began - first < seconds]
    afterwards = [hit for hit in hosts.of(HERE) if hit.began - first >= seconds]
    assert len(told) <= AT_ONCE
    assert {hit.status for hit in told} == {429}
    assert max(hit.ended for hit in hosts.of(THERE)) < afterwards[0].began
    assert most_at_once(afterwards) == 1  # it had too many before
    assert len(afterwards) == 100


def test_a_long_pause_is_not_waited_for(tmp_path: Path, hosts: Hosts) -> None:
    hosts.moods[HERE] = until_calm(3600)
    ended = crawl(tmp_path, hosts.urls(HERE, range(60)) + hosts.urls(THERE, range(60, 80)))
    assert len(hosts.of(HERE)) <= AT_ONCE
    for line in ended.manifest:
        assert line["reason"] == ("paused" if HERE in line["url"] else None)
    assert "127.0.0.1 answers 429 and wants a pause; 3600 s are left" in {
        line["detail"].partition(": ")[2] for line in ended.manifest if line["reason"]
    }


def test_a_redirect_is_no_way_round_a_pause(tmp_path: Path, hosts: Hosts) -> None:
    elsewhere = iter(hosts.urls(HERE, range(100, 200)))
    hosts.moods[HERE] = until_calm(3600)
    hosts.moods[THERE] = lambda _: (302, {"Location": next(elsewhere)})
    ended = crawl(tmp_path, hosts.urls(THERE, range(40)))
    assert set(ended.reasons.values()) == {"paused"}
    assert len(hosts.of(HERE)) <= AT_ONCE
    assert len(hosts.of(THERE)) == 40


def test_stops_in_the_midst_of_a_pause(tmp_path: Path, hosts: Hosts) -> None:
    hosts.moods[HERE] = until_calm(50)
    (tmp_path / "list.txt").write_text("\n".join(hosts.urls(HERE, range(20))))
    process = started(
        tmp_path / "data", "urls", "-a", f"list={tmp_path}/list.txt", PIXCRAWLER_OPT_OUT_EXEMPT=f"{HERE},{THERE}"
    )
    while not any(hit.ended for hit in list(hosts.hits)):
        assert process.poll() is None
        time.sleep(0.02)
    process.terminate()
    ended = finished(process, tmp_path / "data", 30)
    assert set(ended.reasons.values()) == {"cancelled"}
    assert "Traceback" not in ended.log


def test_says_who_asks(tmp_path: Path, hosts: Hosts) -> None:
    crawl(tmp_path, hosts.urls(HERE, range(1)), PIXCRAWLER_CONTACT="mailto:crawler@example.org")
    assert {hit.user_agent for hit in hosts.hits} == {
        f"PixCrawler/{pixcrawler.__version__} (+mailto:crawler@example.org)"
    }
