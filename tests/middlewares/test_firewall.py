"""The firewall in a real crawl: 127.0.0.1 plays the inside, 127.0.0.2 the public internet (exempted)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import AF_INET6
from typing import Any
from urllib.parse import unquote

import loopback
import pytest
from pictures import encoded, photo
from scrapy.utils.misc import load_object
from scrapy.utils.project import get_project_settings

from pixcrawler.middlewares.browser import BrowserDownloadHandler

ORDER: dict[str, Any] = {"urls": [], "dns": {}, "settings": {}, "careless": False}
SCRIPT = Path(__file__).with_name("crawl_urls.py")
INSIDE, PUBLIC = "127.0.0.1", "127.0.0.2"

# Every way to write 127.0.0.1 or to reach this machine; {port} is where the inside listens.
VECTORS = """
    http://127.0.0.1:{port}/ http://127.1:{port}/ http://127.0.1:{port}/ http://2130706433:{port}/
    http://0x7f000001:{port}/ http://0x7f.0.0.1:{port}/ http://0177.0.0.1:{port}/ http://017700000001:{port}/
    http://0:{port}/ http://0.0.0.0:{port}/ http://１２７.０.０.１:{port}/ http://127。0。0。1:{port}/
    http://%31%32%37.0.0.1:{port}/ http://127.0.0.1.:{port}/ http://localhost:{port}/ http://localhost.:{port}/
    http://LOCALHOST:{port}/ http://[::1]:{port}/ http://[::]:{port}/ http://[::ffff:127.0.0.1]:{port}/
    http://[::ffff:7f00:1]:{port}/ http://[::127.0.0.1]:{port}/ http://[64:ff9b::127.0.0.1]:{port}/
    http://[2002:7f00:1::]:{port}/ http://[fe80::1%25lo]:{port}/ http://user@127.0.0.1:{port}/
    http://public.test@127.0.0.1:{port}/ http://public.test:x@127.1:{port}/ http://inside.test:{port}/
    http://mixed.test:{port}/ http://mapped.test:{port}/ https://127.0.0.1:{port}/ https://inside.test:{port}/
"""
DNS = {
    "public.test": [[PUBLIC]],
    "inside.test": [[INSIDE]],
    "localhost.": [[INSIDE]],
    "mixed.test": [[PUBLIC, INSIDE]],
    "mapped.test": [["::ffff:127.0.0.1"]],
    "nothing.test": [[]],
}


class Site(BaseHTTPRequestHandler):
    """Counts hits; /to/<URL> redirects there."""

    hits: list[tuple[str, str]]

    def do_GET(self) -> None:
        self.hits.append((str(self.server.server_address[0]), self.path))
        away = self.path.startswith("/to/")
        self.send_response(302 if away else 200)
        if away:
            self.send_header("Location", unquote(self.path.removeprefix("/to/")))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


class SiteV6(ThreadingHTTPServer):
    address_family = AF_INET6


class Web:
    """The same port on the inside, over IPv4 and IPv6, and in public."""

    def __init__(self) -> None:
        handler = type("Handler", (Site,), {"hits": []})
        self.hits: list[tuple[str, str]] = handler.hits  # type: ignore[attr-defined]
        self.servers = [ThreadingHTTPServer((INSIDE, 0), handler)]
        self.port = self.servers[0].server_port
        self.servers.append(ThreadingHTTPServer((PUBLIC, self.port), handler))
        with suppress(OSError):  # a machine without IPv6
            self.servers.append(SiteV6(("::1", self.port), handler))
        for server in self.servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def inside_hits(self) -> list[tuple[str, str]]:
        return [hit for hit in self.hits if hit[0] != PUBLIC]

    def close(self) -> None:
        for server in self.servers:
            server.shutdown()
            server.server_close()


@pytest.fixture
def web() -> Iterator[Web]:
    web = Web()
    yield web
    web.close()


def run_script(order: dict[str, Any], allow: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPT],
        input=json.dumps(order),
        env=os.environ | {"PIXCRAWLER_ALLOW_HOSTS": allow, "http_proxy": f"http://{INSIDE}:9"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


class Crawl:
    def __init__(
        self,
        *urls: str,
        allow: str = PUBLIC,
        dns: dict[str, list[list[str]]] | None = None,
        meta: dict[str, Any] | None = None,
        careless: bool = False,
        **settings: Any,
    ) -> None:
        order = {"urls": [(url, meta or {}) for url in urls], "dns": DNS | (dns or {}), "settings": settings}
        order["careless"] = careless
        done = run_script(order, allow)
        assert done.returncode == 0, done.stderr
        self.log = done.stderr
        answer = json.loads(done.stdout)
        self.stats: dict[str, Any] = answer["stats"]
        self.outcomes: list[dict[str, Any]] = [outcome for _, outcome in answer["outcomes"]]
        self.of: dict[str, dict[str, Any]] = dict(answer["outcomes"])

    @property
    def only(self) -> dict[str, Any]:
        (outcome,) = self.outcomes
        return outcome


def is_refused(outcome: dict[str, Any]) -> bool:
    return outcome.get("error") == "Refused" and outcome.get("reason") == "firewall"


def test_no_way_of_writing_it_reaches_the_inside(web: Web) -> None:
    urls = [url.format(port=web.port) for url in VECTORS.split()]
    crawl = Crawl(*urls)
    assert not web.hits
    assert {url for url in urls if not is_refused(crawl.of[url])} == set()
    assert {url for url in urls if "proxy" in crawl.of[url]["message"]} == set()
    assert "retry/count" not in crawl.stats


def test_other_schemes_never_reach_a_handler(web: Web, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    urls = [f"file://{secret}", "ftp://public.test/a", "s3://bucket/a", "data:image/png,AAAA", "gopher://public.test/"]
    crawl = Crawl(*urls)
    assert all(is_refused(crawl.of[url]) for url in urls)


def test_the_public_is_fetched_by_address_and_by_name(web: Web) -> None:
    urls = [f"http://{host}:{web.port}/" for host in (PUBLIC, "public.test", "PUBLIC.test.", "0x7f000002")]
    crawl = Crawl(*urls, dns={"public.test.": [[PUBLIC]]})
    assert [crawl.of[url] for url in urls] == [{"status": 200, "from": PUBLIC}] * len(urls)
    assert "firewall/refused" not in crawl.stats
    assert crawl.log.count(f"but also: {PUBLIC}") == 1


@pytest.mark.parametrize("hops", [1, 2, 3, 4])
def test_redirects_do_not_lead_inside(web: Web, hops: int) -> None:
    public = f"http://{PUBLIC}:{web.port}/to/"
    for target in (f"http://127.0.0.1:{web.port}/x", f"http://inside.test:{web.port}/x", f"http://0x7f.1:{web.port}/x"):
        crawl = Crawl(public * hops + target)
        assert is_refused(crawl.only)
        assert not web.inside_hits
        assert len(web.hits) == hops
        web.hits.clear()


def test_a_redirect_without_scheme_is_judged_too(web: Web) -> None:
    crawl = Crawl(f"http://{PUBLIC}:{web.port}/to///127.0.0.1:{web.port}/x")
    assert is_refused(crawl.only)
    assert not web.inside_hits


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://public.test/", "data:image/png,A", "gopher://a/"])
def test_a_redirect_to_another_scheme_is_not_followed(web: Web, target: str) -> None:
    crawl = Crawl(f"http://{PUBLIC}:{web.port}/to/{target}")
    assert crawl.only["error"] == "HttpError"
    assert len(web.hits) == 1


def test_redirects_come_to_an_end(web: Web) -> None:
    public = f"http://{PUBLIC}:{web.port}/to/"
    assert Crawl(public * 4 + f"http://{PUBLIC}:{web.port}/there").only["status"] == 200
    web.hits.clear()
    assert Crawl(public * 5 + f"http://{PUBLIC}:{web.port}/there").only["message"] == "max redirections reached"
    assert len(web.hits) == 1 + 4


@pytest.mark.parametrize("answer", [[INSIDE], [PUBLIC, INSIDE], [PUBLIC, "fe80::1"]])
def test_a_name_that_is_bound_anew_is_refused(web: Web, answer: list[str]) -> None:
    urls = [f"http://rebind.test:{web.port}/{n}" for n in range(3)]
    crawl = Crawl(*urls, dns={"rebind.test": [[PUBLIC], answer, [PUBLIC]]})
    assert [crawl.of[url].get("status") for url in urls] == [200, None, 200]
    assert is_refused(crawl.of[urls[1]])
    assert web.hits == [(PUBLIC, "/0"), (PUBLIC, "/2")]


def test_a_name_nobody_knows_is_not_called_refused(web: Web) -> None:
    urls = [f"http://{host}:{web.port}/" for host in ("nothing.test", "flicker.test")]
    urls.append(urls[-1] + "again")
    crawl = Crawl(*urls, dns={"flicker.test": [[INSIDE], []]}, RETRY_ENABLED=False)
    errors = [crawl.of[url]["error"] for url in urls]
    assert errors == ["CannotResolveHostError", "Refused", "CannotResolveHostError"]


def test_an_exemption_is_for_its_port_only(web: Web) -> None:
    other = f"http://{INSIDE}:{web.port + 1}/"
    mine = f"http://{INSIDE}:{web.port}/"
    named = f"http://inside.test:{web.port}/"
    crawl = Crawl(mine, other, named, allow=f"{INSIDE}:{web.port}")
    assert crawl.of[mine]["status"] == crawl.of[named]["status"] == 200
    assert is_refused(crawl.of[other])


def test_an_exempted_name_may_have_any_address(web: Web) -> None:
    urls = [f"http://inside.test:{web.port}/", f"http://127.0.0.1:{web.port}/"]
    crawl = Crawl(*urls, allow="inside.test")
    assert crawl.of[urls[0]]["status"] == 200
    assert is_refused(crawl.of[urls[1]])


def test_nothing_leaves_through_a_proxy(web: Web) -> None:
    crawl = Crawl(f"http://{PUBLIC}:{web.port}/", meta={"proxy": f"http://{INSIDE}:{web.port}"})
    assert is_refused(crawl.only)
    assert not web.hits


def test_nothing_leaves_without_the_guarded_resolver(web: Web) -> None:
    stock = "scrapy.resolver.CachingThreadedResolver"
    crawl = Crawl(f"http://{PUBLIC}:{web.port}/", TWISTED_DNS_RESOLVER=stock)
    assert is_refused(crawl.only)
    assert not web.hits


def test_no_address_is_connected_to_without_a_verdict(web: Web) -> None:
    urls = [f"http://{host}:{web.port}/" for host in (PUBLIC, INSIDE, "127.1", "2130706433")]
    crawl = Crawl(*urls, DOWNLOADER_MIDDLEWARES={}, RETRY_ENABLED=False)
    assert [crawl.of[url].get("status") for url in urls] == [200, None, None, None]
    assert web.hits == [(PUBLIC, "/")]


def test_other_ports_are_not_for_the_public(web: Web) -> None:
    crawl = Crawl(f"http://public.test:{web.port}/", allow="127.0.0.3")
    assert is_refused(crawl.only)
    assert not web.hits


def test_what_came_from_the_inside_all_the_same_is_refused(web: Web) -> None:
    named, public = f"http://inside.test:{web.port}/", f"http://public.test:{web.port}/"
    crawl = Crawl(named, public, careless=True)
    assert is_refused(crawl.of[named])
    assert crawl.of[public]["status"] == 200
    assert web.inside_hits == [(INSIDE, "/")]  # the hole was there
    assert crawl.stats["firewall/refused"] == 1


@pytest.mark.parametrize(
    ("scheme", "handler"),
    [
        ("https", "scrapy.core.downloader.handlers.http11.HTTP11DownloadHandler"),
        ("http", "scrapy.core.downloader.handlers._aiohttp.AiohttpDownloadHandler"),
        ("http", "scrapy.core.downloader.handlers._httpx.HttpxDownloadHandler"),
        ("file", "scrapy.core.downloader.handlers.file.FileDownloadHandler"),
        ("data", "scrapy.core.downloader.handlers.datauri.DataURIDownloadHandler"),
    ],
)
def test_no_other_handler_is_tolerated(scheme: str, handler: str) -> None:
    handlers = dict.fromkeys(("http", "https", "file", "ftp", "s3", "data")) | {scheme: handler}
    done = run_script(ORDER | {"settings": {"DOWNLOAD_HANDLERS": handlers}}, PUBLIC)
    assert done.returncode == 2
    assert (
        done.stderr.splitlines()[-1]
        == f"pixcrawler: DOWNLOAD_HANDLERS: the firewall does not cover {handler} ({scheme})"
    )


def test_our_settings_have_no_other_handler() -> None:
    handlers = get_project_settings().getwithbase("DOWNLOAD_HANDLERS")
    enabled = {scheme: load_object(handler) for scheme, handler in handlers.items() if handler is not None}
    assert enabled == {"http": BrowserDownloadHandler, "https": BrowserDownloadHandler}


def test_proxies_of_the_environment_are_ignored(web: Web, tmp_path: Path) -> None:
    with loopback.web() as pictures, loopback.web() as proxy:
        [path] = pictures.photos(1)
        names = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        ended = crawl_list(tmp_path, [pictures.address + path], **dict.fromkeys(names, proxy.address))
    assert ended.reasons == {pictures.address + path: "kept"}
    assert not proxy.hits


def test_nothing_but_the_web_is_ever_stored(tmp_path: Path) -> None:
    planted = tmp_path / "planted.png"
    planted.write_bytes(encoded(photo(1), "png"))
    data = "data:image/png;base64," + b64encode(planted.read_bytes()).decode()
    with loopback.web() as pictures:
        to_file = pictures.put("/to-file", status=302, headers={"Location": planted.as_uri()})
        to_data = pictures.put("/to-data", status=302, headers={"Location": "data:image/png,A"})
        urls = [planted.as_uri(), f"file://localhost{planted}", f"FILE:{planted}", str(planted), data]
        urls += [f"{scheme}://127.0.0.1{planted}" for scheme in ("ftp", "s3", "blob", "gopher", "javascript", "view")]
        ended = crawl_list(tmp_path, [*urls, to_file, to_data])
    assert len(ended.manifest) == len(urls) + 2 - 1  # FILE:/… is file:///…
    assert not ended.kept
    assert set(ended.reasons.values()) <= {"firewall", "bad_url", "http_error"}
    ended.check_files()


def crawl_list(folder: Path, urls: list[str], **environment: str) -> loopback.Crawl:
    (folder / "list.txt").write_text("".join(f"{url}\n" for url in urls))
    return loopback.crawl(folder / "data", "urls", "-a", f"list={folder}/list.txt", **environment)


def test_an_exemption_that_makes_no_sense_ends_the_crawl_in_one_line() -> None:
    done = run_script(ORDER, "http://inside.test/")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "pixcrawler: PIXCRAWLER_ALLOW_HOSTS: 'http://inside.test/' is no host, host:port, address or network"
    ]
