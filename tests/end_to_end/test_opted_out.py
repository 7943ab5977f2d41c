"""Owners who reserve their pictures in every way there is, each with a host of their own; and owners who do not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from loopback import OPT_OUT_FILES, Crawl, Web, crawl, finished, said, started, web
from pictures import encoded, photo

DENY = b"User-agent: *\nDisallow: /\n"
RESERVE = b'[{"location": "/", "tdm-reservation": 1}]'
ROBOTS, TDMREP, AI_TXT = "/robots.txt", "/.well-known/tdmrep.json", "/ai.txt"


@dataclass
class Owners:
    """Webs at addresses of their own, and what the crawl must make of their pictures."""

    host: Callable[[], Web]
    unasked: dict[str, tuple[str, str]] = field(
        default_factory=dict
    )  # URL → reason, part of the detail; never asked for
    unread: dict[str, tuple[str, str]] = field(default_factory=dict)  # the same; asked for, its body never read
    open: list[str] = field(default_factory=list)
    bodies: dict[str, bytes] = field(default_factory=dict)
    webs: list[Web] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def web(self, path: str = "", file: bytes = b"", **more: Any) -> Web:
        """A host, with one of its files."""
        web = self.host()
        self.webs.append(web)
        if path:
            web.put(path, file, **more)
        return web

    def picture(self, web: Web, path: str = "", **more: Any) -> str:
        number = next(self._numbers)
        body = encoded(photo(number, (320, 240)))
        url = web.put(path or f"/{number}.jpg", body, **more)
        self.bodies[url] = body
        return url

    def leave(self, reason: str, detail: str, web: Web, path: str = "", **more: Any) -> None:
        """A picture that must not be asked for."""
        self.unasked[self.picture(web, path, **more)] = (reason, detail)

    def turn_away(self, reason: str, detail: str, web: Web, **headers: str) -> None:
        """A picture whose headers forbid it: its server sends no body as long as its client may still leave."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.unread[self.picture(web, fault="reluctant", headers=named)] = (reason, detail)

    def keep(self, web: Web, path: str = "", **more: Any) -> None:
        """A picture nobody minds."""
        self.open.append(self.picture(web, path, **more))

    def by_url(self, url: str) -> Web:
        return next(web for web in self.webs if url.startswith(f"{web.address}/"))


@pytest.fixture
def owners() -> Iterator[Owners]:
    addresses = count(2)
    with ExitStack() as stack:
        yield Owners(lambda: stack.enter_context(web(f"127.0.0.{next(addresses)}")))


def crawled(folder: Path, urls: list[str], **environment: str) -> Crawl:
    file = folder / "list.txt"
    file.write_text("\n".join(urls))
    allow = {"PIXCRAWLER_ALLOW_HOSTS": "127.0.0.0/8"}
    ended = crawl(folder / "data", "urls", "-a", f"list={file}", **allow | environment)
    assert ended.status == 0
    assert "Traceback" not in ended.log
    assert "ERROR" not in ended.log
    ended.check_files()
    return ended


def put_files(owners: Owners) -> None:
    """Reservations in files, and beside them what the same files leave open."""
    owners.leave("robots", "disallows it for PixCrawler", owners.web(ROBOTS, DENY))
    named = owners.web(ROBOTS, b"User-agent: PixCrawler\nDisallow: /private/\n\nUser-agent: *\nDisallow: /\n")
    owners.leave("robots", "robots.txt", named, "/private/a.jpg")
    owners.keep(named, "/public/a.jpg")
    pattern = owners.web(ROBOTS, b"User-agent: *\nDisallow: /*.jpg$\n")
    owners.leave("robots", "robots.txt", pattern)
    owners.keep(pattern, "/open.jpeg")
    elsewhere = owners.web("/rules.txt", DENY)
    owners.leave(
        "robots", "robots.txt", owners.web(ROBOTS, status=301, headers={"Location": f"{elsewhere.address}/rules.txt"})
    )
    owners.leave("server_error", "answers 503", owners.web(ROBOTS, status=503))
    owners.leave("timeout", "robots.txt: DownloadTimeoutError", owners.web(ROBOTS, fault="hang"))
    owners.leave("unreachable", "robots.txt", owners.web(ROBOTS, fault="reset"))
    owners.leave("tdmrep", "reserves '/'", owners.web(TDMREP, RESERVE))
    rules = [{"location": "/open/*.jpg", "tdm-reservation": 0}, {"location": "/", "tdm-reservation": 1}]
    first = owners.web(TDMREP, json.dumps(rules).encode())
    owners.leave("tdmrep", "reserves '/'", first, "/closed/a.jpg")
    owners.keep(first, "/open/a.jpg")
    owners.leave("ai_txt", "disallows", owners.web(AI_TXT, DENY + b"Disallow: *\n"))
    kinds = owners.web(AI_TXT, b"User-Agent: *\nDisallow: *.jpg\nDisallow: *.c\n")
    owners.leave("ai_txt", "disallows .jpg", kinds)
    owners.leave("ai_txt", "disallows .jpg", kinds, "/image")
    owners.keep(kinds, "/photos.cats/a.png")
    redirecting = owners.web()
    closed = owners.picture(owners.web(ROBOTS, DENY))
    owners.leave("robots", "robots.txt", redirecting, "/moved", status=302, headers={"Location": closed})
    owners.unasked[closed] = owners.unasked[f"{redirecting.address}/moved"]


def put_headers(owners: Owners) -> None:
    """Reservations in headers, all at one host, and headers that reserve nothing."""
    web = owners.web()
    for tag in ("noai", "noimageai", "noml", "noindex", "noimageindex", "none"):
        owners.turn_away("x_robots_tag", f"X-Robots-Tag: {tag}", web, X_Robots_Tag=f"nofollow, {tag}")
    owners.turn_away("x_robots_tag", "noimageindex", web, X_Robots_Tag="nofollow", x_robots_tag="noimageindex")
    owners.turn_away("x_robots_tag", "noai", web, X_Robots_Tag="unavailable_after: 25 Jun 2010 15:00:00 PST, noai")
    owners.turn_away("x_robots_tag", "pixcrawler: noml", web, X_Robots_Tag="googlebot: all, pixcrawler: noml")
    owners.turn_away("tdm_reservation", "tdm-reservation: 1", web, tdm_reservation="1")
    owners.turn_away(
        "tdm_reservation", "policy 'https://x.example/'", web, TDM_Reservation="1", TDM_Policy="https://x.example/"
    )
    owners.turn_away("not_an_image", "text/html", web, Content_Type="text/html; charset=utf-8")
    owners.turn_away("not_an_image", "application/json", web, Content_Type="application/json")
    for name, value in (
        ("X-Robots-Tag", "googlebot: noindex, noai"),
        ("X-Robots-Tag", "max-image-preview:none, nosnippet"),
        ("X-Robots-Tag", "unavailable_after: 25 Jun 2030 15:00:00 PST"),
        ("X-Robots-Tag", "all"),
        ("tdm-reservation", "0"),
        ("Content-Type", "application/octet-stream"),
        ("Content-Type", "text/plain"),
    ):
        owners.keep(web, headers={name: value})


def put_nothing(owners: Owners) -> None:
    """Owners who say something, and reserve nothing from us."""
    owners.keep(owners.web())
    owners.keep(owners.web(ROBOTS, DENY, status=403))
    owners.keep(owners.web(ROBOTS, b"User-agent: GPTBot\nUser-agent: Googlebot\nDisallow: /\n"))
    owners.keep(owners.web(ROBOTS, b"User-agent: *\nDisallow: /p\nAllow: /public/\n"), "/public/a.jpg")
    owners.keep(owners.web(ROBOTS, b"<!doctype html><title>Welcome</title>"))
    owners.keep(owners.web(TDMREP, b"{not json"))
    owners.keep(owners.web(TDMREP, status=500))
    owners.keep(owners.web(AI_TXT, b"User-Agent: *\nDisallow: *.mp3\nDisallow: *.txt\n"))
    owners.keep(owners.web(AI_TXT, fault="reset"))
    target = owners.picture(owners.web())
    owners.open.append(owners.web().put("/moved", status=301, headers={"Location": target}))
    owners.bodies[owners.open[-1]] = owners.bodies[target]


def test_nothing_is_taken_that_its_owner_has_reserved(tmp_path: Path, owners: Owners) -> None:
    put_files(owners)
    put_headers(owners)
    put_nothing(owners)
    denied = owners.unasked | owners.unread
    ended = crawled(tmp_path, [*denied, *owners.open])

    lines = {line["url"]: line for line in ended.manifest}
    assert {url: line["reason"] for url, line in lines.items() if line["reason"]} == {
        url: reason for url, (reason, _) in denied.items()
    }
    assert not [
        (url, lines[url]["detail"]) for url, (_, detail) in denied.items() if detail not in lines[url]["detail"]
    ]
    kept = {line["url"]: line["sha256"] for line in ended.kept}
    assert kept == {url: hashlib.sha256(owners.bodies[url]).hexdigest() for url in owners.open}

    paths = {url: "/" + url.split("/", 3)[3] for url in denied}
    fetched = [url for url in owners.unasked if owners.by_url(url).hits[paths[url]]]
    assert fetched == [url for url in owners.unasked if url.endswith("/moved")]  # whose target was not asked for
    assert all(owners.by_url(url).hits[paths[url]] == 1 for url in owners.unread)
    assert not [web.sent for web in owners.webs if web.sent.total()]
    assert len(denied) >= 14
    assert len(owners.open) >= 14
    assert all(count == 1 for web in owners.webs for count in web.opt_out_hits.values())
    assert all(reason.replace("_", " ") in ended.output for reason, _ in denied.values())


def test_a_host_is_asked_once_and_holds_up_no_other(tmp_path: Path, owners: Owners) -> None:
    busy = owners.web()
    for _ in range(20):
        owners.keep(busy)
    hanging = owners.web(AI_TXT, fault="hang")
    owners.keep(hanging)
    ended = crawled(tmp_path, [owners.open[-1], *owners.open])
    assert {line["url"] for line in ended.kept} == set(owners.open)
    assert busy.opt_out_hits == dict.fromkeys(OPT_OUT_FILES, 1)
    assert ended.manifest[-1]["url"] == owners.open[-1]


def test_a_host_that_wants_a_pause_is_asked_again(tmp_path: Path, owners: Owners) -> None:
    host = owners.web(ROBOTS, status=429, headers={"Retry-After": "1"})
    owners.leave("robots", "robots.txt", host, "/private/a.jpg")
    owners.keep(host)
    file = tmp_path / "list.txt"
    file.write_text("\n".join([*owners.unasked, *owners.open]))
    process = started(tmp_path / "data", "urls", "-a", f"list={file}", PIXCRAWLER_ALLOW_HOSTS="127.0.0.0/8")
    said(process, "wants a pause")
    host.put(ROBOTS, b"User-agent: *\nDisallow: /private/\n")
    ended = finished(process, tmp_path / "data")
    assert {line["url"] for line in ended.kept} == set(owners.open)
    assert [ended.reasons[url] for url in owners.unasked] == ["robots"]
    assert host.opt_out_hits[ROBOTS] == 2


def test_an_operator_with_permission_names_the_host(tmp_path: Path, owners: Owners) -> None:
    permitted = owners.web(ROBOTS, DENY)
    owners.keep(permitted)
    owners.keep(permitted, headers={"X-Robots-Tag": "noai", "tdm-reservation": "1"})
    owners.leave("robots", "robots.txt", owners.web(ROBOTS, DENY))
    host = str(permitted.server_address[0])
    ended = crawled(tmp_path, [*owners.open, *owners.unasked], PIXCRAWLER_OPT_OUT_EXEMPT=host)
    assert {line["url"] for line in ended.kept} == set(owners.open)
    assert [ended.reasons[url] for url in owners.unasked] == ["robots"]
    assert not permitted.opt_out_hits
    assert ended.log.count(f"Opt-outs of these hosts are not asked for: {host}") == 1


def test_an_exemption_that_is_no_host_is_one_line(tmp_path: Path) -> None:
    ended = crawl(tmp_path, "urls", "-a", "list=x.txt", PIXCRAWLER_OPT_OUT_EXEMPT="https://images.example/")
    assert ended.status == 2
    assert "PIXCRAWLER_OPT_OUT_EXEMPT: expected names of hosts" in ended.log.splitlines()[-1]
