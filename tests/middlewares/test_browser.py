"""Rendered pages in a real Chromium. The web that may be reached is one port of 127.0.0.1; all else is the inside."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID
from loopback import PROJECT, Crawl, Web, crawl, finished, started, web

from pixcrawler.config import Config
from pixcrawler.demo.replicas import NOTHING, Replica, replica_of
from pixcrawler.demo.replicas.serving import serving
from pixcrawler.middlewares.chromium import ARGUMENTS

SCRIPT = Path(__file__).with_name("render_pages.py")
CHROMIUM = Config().chromium
KEYWORD = "mountain lake"
GONE_SECONDS = 15.0  # a driver gives its browser some time to end in order

pytestmark = [
    pytest.mark.skipif(not CHROMIUM.is_file() and not os.environ.get("CI"), reason=f"there is no {CHROMIUM}"),
    pytest.mark.timeout(180),
]


class Shown:
    """What became of pages, one after the other."""

    def __init__(self, *pages: tuple[str, dict[str, Any]], allow: str, at_once: bool = False, **changes: Any) -> None:
        done = subprocess.run(
            [sys.executable, SCRIPT],
            input=json.dumps({"pages": pages, "changes": changes, "at_once": at_once}),
            env=os.environ | {"PIXCRAWLER_ALLOW_HOSTS": allow, "PYTHONPATH": str(PROJECT), "http_proxy": "http://x:9"},
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
            timeout=150,
        )
        assert done.returncode == 0, done.stderr
        self.log = done.stderr
        answer = json.loads(done.stdout)
        self.outcomes: list[dict[str, Any]] = answer["outcomes"]
        self.stats: dict[str, Any] = answer["stats"]


def show(url: str, *, allow: str, changes: dict[str, Any] | None = None, **rendering: Any) -> Shown:
    return Shown((url, rendering), allow=allow, **(changes or {}))


@pytest.fixture
def public() -> Iterator[Web]:
    with web() as server:
        yield server


def only(server: Web) -> str:
    """The exemption for this server alone."""
    return server.address.removeprefix("http://")


def page(server: Web, body: str, path: str = "/page") -> str:
    return server.put(path, f"<!doctype html><html><body>{body}</body></html>".encode(), headers={"Content-Type": HTML})


HTML = "text/html; charset=utf-8"


class Inside:
    """Listens on TCP over IPv4 and IPv6, and on UDP, at one port; counts who comes."""

    def __init__(self) -> None:
        self.visits: list[str] = []
        self.sockets = [socket.create_server(("127.0.0.1", 0))]
        self.port = self.sockets[0].getsockname()[1]
        with suppress(OSError):  # a machine without IPv6
            self.sockets.append(socket.create_server(("::1", self.port), family=socket.AF_INET6))
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        for listener in self.sockets:
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        threading.Thread(target=self._receive, daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(2)
                    self.visits.append(f"tcp: {connection.recv(80)!r}")

    def _receive(self) -> None:
        with suppress(OSError):
            while True:
                self.visits.append(f"udp: {self.udp.recv(80)!r}")

    def close(self) -> None:
        for listener in [*self.sockets, self.udp]:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()


@pytest.fixture
def inside() -> Iterator[Inside]:
    inside = Inside()
    yield inside
    inside.close()


def test_a_page_is_read_as_its_scripts_have_made_it(public: Web) -> None:
    public.put("/data", b'{"said": "</script> hello"}', headers={"Content-Type": "application/json"})
    script = "fetch('/data').then(r => r.text()).then(text => document.body.append('made by a script'))"
    done = show(page(public, f"<script>{script}</script>"), allow=only(public))
    [outcome] = done.outcomes
    assert (outcome["status"], outcome["from"]) == (200, "127.0.0.1")
    assert "made by a script</body>" in outcome["text"]
    assert outcome["text"].endswith('<script type="text/plain" data-fetched>{"said": "<\\/script> hello"}</script>')
    assert "firewall/refused" not in done.stats


def test_a_page_that_moves_on_by_itself_is_followed(public: Web) -> None:
    goal = page(public, "here it is", "/goal")
    ways = [
        page(public, f"<meta http-equiv=refresh content='0;url={goal}'>", "/refresh"),
        page(public, f"<script>location = '{goal}'</script>", "/script"),
        page(public, f"<script>setTimeout(() => location = '{goal}', 700)</script>", "/later"),
    ]
    done = Shown(*((url, {"scroll": "none", "until": 1}) for url in ways), allow=only(public), STILL=8)
    assert [(outcome["url"], "here it is" in outcome["text"]) for outcome in done.outcomes] == [(goal, True)] * 3


def certified(folder: Path) -> tuple[Path, str]:
    """A certificate for 127.0.0.1 with its key, in one file; and the argument by which Chromium trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    today = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    valid = builder.not_valid_before(today - timedelta(1)).not_valid_after(today + timedelta(1))
    certificate = valid.add_extension(address, critical=False).sign(key, hashes.SHA256())
    file = folder / "certificate.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(secret + certificate.public_bytes(Encoding.PEM))
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    digest = b64encode(hashlib.sha256(public).digest()).decode()
    return file, f"--ignore-certificate-errors-spki-list={digest}"


def test_pages_over_https_come_from_whom_they_say(public: Web, tmp_path: Path) -> None:
    file, trust = certified(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    public.socket = context.wrap_socket(public.socket, server_side=True)
    public.put("/data", b"over https")
    url = page(public, "<script>fetch('/data').then(r => r.text()).then(text => document.body.append(text))</script>")
    url = url.replace("http:", "https:")
    trusting = show(url, allow=only(public), changes={"ARGUMENTS": [*ARGUMENTS, trust]})
    [outcome] = trusting.outcomes
    assert (outcome["status"], outcome["from"], outcome["url"]) == (200, "127.0.0.1", url)
    assert "over https</body>" in outcome["text"]
    [outcome] = show(url, allow=only(public)).outcomes
    assert outcome["error"] == "DownloadFailedError"
    assert "ERR_CERT_AUTHORITY_INVALID" in outcome["message"]


def test_what_only_eyes_need_is_not_loaded(public: Web) -> None:
    body = """<style>@font-face{font-family:a;src:url(/a.woff2)} body{font-family:a;background:url(/b.png)}</style>
        <img src=/c.png srcset="/d.png 2x"><picture><source srcset=/e.webp><img src=/f.png></picture>
        <video src=/g.mp4 autoplay poster=/h.png></video><audio src=/i.mp3 autoplay></audio><link rel=icon href=/j.ico>
        <svg><image href=/k.png></svg><script src=/script.js></script><link rel=stylesheet href=/style.css>
        <script>navigator.sendBeacon('/l'); new Image().src = '/m.png'; new EventSource('/n')</script>text"""
    show(page(public, body), allow=only(public))
    assert set(public.hits) == {"/page", "/script.js", "/style.css"}


ATTEMPTS = """
<script>
const hosts = ["127.0.0.1:PORT", "localhost:PORT", "[::1]:PORT", "0.0.0.0:PORT", "2130706433:PORT", "a.localhost:PORT"]
for (const host of hosts) {
  fetch(`http://${host}/fetch`, {mode: "no-cors"}).catch(() => 0)
  fetch(`https://${host}/fetch`, {mode: "no-cors"}).catch(() => 0)
  fetch(`http://${host}/preflight`, {method: "PUT", headers: {"x-a": "b"}}).catch(() => 0)
  const asked = new XMLHttpRequest(); asked.open("GET", `http://${host}/xhr`); asked.send()
  for (const scheme of ["ws", "wss"]) try { new WebSocket(`${scheme}://${host}/socket`) } catch {}
  try { new WebTransport(`https://${host}/transport`).ready.catch(() => 0) } catch {}
  navigator.sendBeacon(`http://${host}/beacon`, "x")
  for (const tag of ["img", "script", "iframe", "embed", "object", "video"]) {
    const made = document.createElement(tag)
    made.src = made.data = `http://${host}/${tag}`; document.body.append(made)
  }
  for (const rel of ["stylesheet", "prefetch", "preconnect", "dns-prefetch", "prerender", "modulepreload", "preload"]) {
    const made = document.createElement("link")
    made.rel = rel; made.as = "fetch"; made.href = `http://${host}/${rel}`; document.head.append(made)
  }
  new Worker(URL.createObjectURL(new Blob([`fetch("http://${host}/worker", {mode: "no-cors"}).catch(() => 0)`])))
  window.open(`http://${host}/popup`)
}
const ice = [{urls: "stun:127.0.0.1:PORT"}, {urls: ["turn:127.0.0.1:PORT", "turn:127.0.0.1:PORT?transport=tcp",
  "turns:localhost:PORT?transport=tcp"], username: "a", credential: "b"}]
const peer = new RTCPeerConnection({iceServers: ice})
peer.createDataChannel("x")
peer.createOffer().then(offer => peer.setLocalDescription(offer))
const frame = document.createElement("iframe"); frame.src = "file:///etc/hostname"; document.body.append(frame)
const rules = document.createElement("script"); rules.type = "speculationrules"
rules.textContent = JSON.stringify({prerender: [{urls: ["http://127.0.0.1:PORT/speculation"]}]})
document.head.append(rules)
setTimeout(() => document.body.append("tried"), 4000)
</script>
"""


def test_a_hostile_page_reaches_nothing_on_this_machine(public: Web, inside: Inside) -> None:
    url = page(public, ATTEMPTS.replace("PORT", str(inside.port)))
    done = show(url, allow=only(public), changes={"STILL": 24}, scroll="nothing-of-the-kind", until=1)
    [outcome] = done.outcomes
    assert "tried</body>" in outcome["text"]
    assert inside.visits == []
    assert done.stats["firewall/refused"] > 20


def test_a_page_is_not_led_to_the_inside(public: Web, inside: Inside) -> None:
    away = f"http://127.0.0.1:{inside.port}/"
    urls = [
        public.put("/redirect", status=302, headers={"Location": away}),
        page(public, f"<script>location = '{away}'</script>", "/script"),
        page(public, f"<meta http-equiv=refresh content='0;url={away}'>", "/refresh"),
        page(public, f"<form method=post action='{away}'><input></form><script>document.forms[0].submit()</script>"),
        page(public, "<script>location = 'file:///etc/hostname'</script>here", "/file"),
    ]
    done = Shown(*((url, {"scroll": "none", "until": 1}) for url in urls), allow=only(public), STILL=8)
    assert inside.visits == []
    assert [outcome["status"] for outcome in done.outcomes] == [403, 200, 200, 200, 200]
    assert "here" in done.outcomes[-1]["text"]
    assert done.stats["firewall/refused"] >= 4


def test_a_page_on_the_inside_is_refused_as_the_firewall_does(public: Web, inside: Inside) -> None:
    urls = [f"http://localhost:{inside.port}/", f"https://localhost:{inside.port}/", f"http://127.0.0.1:{inside.port}/"]
    done = Shown(*((url, {}) for url in urls), allow=f"10.9.9.9:{inside.port}")
    assert [(outcome["error"], outcome["reason"]) for outcome in done.outcomes] == [("Refused", "firewall")] * 3
    assert inside.visits == []
    assert "Traceback" not in done.log


def test_a_download_and_a_popup_come_to_nothing(public: Web) -> None:
    attached = {"Content-Disposition": "attachment; filename=a.bin", "Content-Type": "application/octet-stream"}
    file = public.put("/file", bytes(100_000), headers=attached)
    popups = page(public, "<a id=b target=_blank href=/popup>b</a><script>open('/popup'); b.click()</script>text")
    worker = "navigator.serviceWorker.register('/worker.js').catch(() => document.body.append('none'))"
    public.put("/worker.js", b"fetch('/from-worker')", headers={"Content-Type": "text/javascript"})
    workers = page(public, f"<script>{worker}</script>", "/workers")
    done = Shown((file, {}), (popups, {}), (workers, {}), allow=only(public))
    assert [outcome.get("error") for outcome in done.outcomes] == ["DownloadFailedError", None, None]
    assert "/popup" not in public.hits
    assert "/worker.js" not in public.hits


def test_a_page_that_never_ends_is_given_up_and_the_next_one_is_shown(public: Web) -> None:
    public.put("/hang", fault="hang")
    endless = page(public, "<script>setTimeout(() => { while (true); }, 100)</script>", "/endless")
    heavy = page(public, "<script>document.body.append('x'.repeat(3e6))</script>", "/heavy")
    good = page(public, "good", "/good")
    pages = (public.address + "/hang", {}), (endless, {"scroll": "none", "until": 1}), (heavy, {}), (good, {})
    done = Shown(*pages, allow=only(public), PAGE_SECONDS=4.0, LARGEST_PAGE=1_000_000)
    assert [outcome.get("error") for outcome in done.outcomes] == [
        "DownloadTimeoutError",
        "DownloadTimeoutError",
        "DownloadCancelledError",
        None,
    ]
    assert "good" in done.outcomes[-1]["text"]
    assert "Traceback" not in done.log


def test_a_browser_that_has_died_is_followed_by_another(public: Web) -> None:
    url = page(public, "here")
    done = Shown((url, {}), ("kill:", {}), (url, {}), (url, {}), allow=only(public))
    assert [outcome.get("status") for outcome in done.outcomes] in ([200, None, 200, 200], [200, None, None, 200])
    assert done.stats["playwright/browser_count"] == 2


def test_one_browser_shows_two_pages_at_once_and_forgets_its_contexts(public: Web) -> None:
    url = page(
        public, "<script>document.cookie = 'n=1' + document.cookie; document.body.append(document.cookie)</script>"
    )
    done = Shown(*[(url, {})] * 12, allow=only(public), at_once=True, PAGES_PER_CONTEXT=3)
    assert all(outcome["status"] == 200 for outcome in done.outcomes)
    assert done.stats["playwright/browser_count"] == 1
    assert done.stats["playwright/page_count/max_concurrent"] == 2
    assert 4 <= done.stats["playwright/context_count"] <= 5
    cookies = [outcome["text"].partition("</script>")[2].count("=1") for outcome in done.outcomes]
    assert set(cookies) == {1, 2, 3}


HOARDER = """<script>
window.kept = new Uint8Array(3e7).fill(7)
const stored = caches.open("a").then(cache => cache.put(`/${Math.random()}`, new Response(kept)))
stored.finally(() => document.body.append(document.createElement("hr")))
</script>"""


def test_memory_does_not_grow_with_the_pages(public: Web) -> None:
    """Each page leaves 30 MB behind in its window, and as much in a storage that lasts as long as its context."""
    url = page(public, HOARDER)
    done = Shown(*[(url, {"scroll": "hr", "until": 1})] * 16, allow=only(public), PAGES_PER_CONTEXT=4)
    memory = [outcome["memory"] for outcome in done.outcomes]
    assert max(memory[8:]) < 1.3 * max(memory[:8])


@contextmanager
def browsing(data: Path, replica: Replica) -> Iterator[tuple[subprocess.Popen[str], list[psutil.Process]]]:
    """A crawl in the middle of a page, and the processes of its browser."""
    asked = ("google", "-a", f"keywords={KEYWORD}", "-a", f"base_url={replica.url}")
    # A profile may be left behind there; the sockets in it need short names.
    with TemporaryDirectory(prefix="px", ignore_cleanup_errors=True) as folder:
        process = started(data, *asked, **known(replica), TMPDIR=folder)
        try:
            while not any(asked.path == "/search" for asked in replica.asked):
                assert process.poll() is None
                time.sleep(0.05)
            yield process, psutil.Process(process.pid).children(recursive=True)
        finally:
            process.kill()
            process.communicate()


def known(replica: Replica) -> dict[str, str]:
    return {"PIXCRAWLER_ALLOW_HOSTS": replica.url.removeprefix("http://"), "PIXCRAWLER_ACCEPT_TERMS": "google"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_browser_outlives_its_crawl(tmp_path: Path, number: int) -> None:
    with serving(replica_of("google")) as replica, browsing(tmp_path, replica) as (process, browser):
        assert any("chrom" in one.name() for one in browser)
        process.send_signal(number)
        process.wait(30)
        assert not still_there(browser)


def test_no_browser_outlives_the_group_of_its_crawl(tmp_path: Path) -> None:
    """As a node ends a crawl for good: its driver dies in the same moment, and cannot end the browser."""
    with serving(replica_of("google")) as replica, browsing(tmp_path, replica) as (process, browser):
        for one in [psutil.Process(process.pid), *(one for one in browser if "chrom" not in one.name())]:
            with suppress(psutil.NoSuchProcess):  # the driver may die with the crawl
                one.kill()
        process.wait(30)
        assert not still_there(browser)


def still_there(processes: list[psutil.Process]) -> list[psutil.Process]:
    _, alive = psutil.wait_procs(processes, timeout=GONE_SECONDS)
    return [one for one in alive if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def test_without_a_browser_the_run_fails_with_a_line_that_says_so(tmp_path: Path) -> None:
    arguments = ("google", "-a", f"keywords={KEYWORD}")
    nowhere = {"PIXCRAWLER_ACCEPT_TERMS": "google", "PIXCRAWLER_CHROMIUM": "/nowhere/chromium"}
    done = crawl(tmp_path, *arguments, **nowhere)
    why = "there is no /nowhere/chromium: install Chromium, or say where it is in PIXCRAWLER_CHROMIUM"
    assert f"This crawl ends: failed google: cannot be asked: {why}" in done.log
    assert "Traceback" not in done.log


def test_a_browser_that_does_not_start_is_told_of_in_a_line(tmp_path: Path) -> None:
    broken = tmp_path / "chromium"
    broken.write_text("#!/bin/sh\necho 'FATAL: it cannot be' >&2\nexit 1\n")
    broken.chmod(0o755)
    accepted = {"PIXCRAWLER_ACCEPT_TERMS": "google", "PIXCRAWLER_CHROMIUM": str(broken)}
    done = crawl(tmp_path / "data", "google", "-a", f"keywords={KEYWORD}", **accepted)
    assert f"google: cannot be asked: {broken} does not start: " in done.log
    assert "it cannot be" in done.log
    assert "Traceback" not in done.log


def test_other_crawls_do_without(tmp_path: Path, public: Web) -> None:
    [picture] = public.photos(1)
    (tmp_path / "list.txt").write_text(public.address + picture)
    check = "import sys, scrapy.cmdline, atexit; atexit.register(lambda: print('playwright' in sys.modules))"
    command = (sys.executable, "-c", f"{check}; scrapy.cmdline.execute()")
    process = started(tmp_path / "data", "crawl", "urls", "-a", f"list={tmp_path / 'list.txt'}", command=command)
    done = finished(process, tmp_path / "data")
    assert len(done.kept) == 1
    assert done.output.endswith("False\n")


# Google, the source that needs it all.


def google(data: Path, replica: Replica, *arguments: str, keyword: str = KEYWORD) -> Crawl:
    """A crawl within the limits that a node sets."""
    runner = (sys.executable, "-m", "pixcrawler.scrapyd_node.runner", "crawl")
    asked = ("google", "-a", f"keywords={keyword}", "-a", f"base_url={replica.url}", *arguments)
    return finished(started(data, *asked, command=runner, **known(replica)), data, seconds=150)


def test_google_brings_what_was_asked_for(tmp_path: Path) -> None:
    with serving(replica_of("google", 150)) as replica:
        replica.broken = frozenset({3, 77})
        done = google(tmp_path, replica, "-a", "max_images=120")
        known_urls = {replica.address(entry): entry for entry in replica.entries(KEYWORD)}
    assert "This crawl ends: succeeded" in done.log
    assert "google: 2 of 100 records cannot be read" in done.log
    assert len(done.kept) == 120
    for line in done.kept:
        entry = known_urls[line["url"]]
        assert (line["title"], line["page_url"]) == (entry.title, f"{replica.url}/pages/{entry.id}.html")
    assert not replica.scolded, "it has accepted what it should have declined"
    assert not any(asked.path == "/images" for asked in replica.asked), "it has loaded pictures of the page"
    assert "POST" in {asked.method for asked in replica.asked}
    assert all(asked.query.get("safe") == "active" for asked in replica.asked if asked.path == "/search")


def test_google_ends_where_the_pages_end(tmp_path: Path) -> None:
    with serving(replica_of("google", 50)) as replica:
        done = google(tmp_path, replica, "-a", "max_images=90")
    assert "short mountain lake brought 50, its source has no more" in done.log
    assert len(done.kept) == 50


def test_google_has_a_word_for_nothing(tmp_path: Path) -> None:
    with serving(replica_of("google")) as replica:
        done = google(tmp_path, replica, "-a", "max_images=5", keyword=NOTHING)
    assert "brought 0, its source has no more" in done.log


def test_google_is_left_alone_when_it_takes_us_for_a_machine(tmp_path: Path) -> None:
    with serving(replica_of("google")) as replica:
        replica.limits = 1
        done = google(tmp_path, replica)
        assert len([asked for asked in replica.asked if asked.path == "/search"]) == 1
    assert "This crawl ends: deferred google: takes us for a machine" in done.log


@pytest.mark.parametrize("change", ["redesign", "shell"])
def test_google_that_cannot_be_read_is_an_error(tmp_path: Path, change: str) -> None:
    with serving(replica_of("google")) as replica:
        shell = {'data-docid="': 'data-x="', '[0,"': '["'}
        replica.mutations = dict([replica.redesign]) if change == "redesign" else shell
        done = google(tmp_path, replica)
    assert "This crawl ends: failed google: " in done.log
    assert not (done.data / "crawls").exists() or not done.manifest
