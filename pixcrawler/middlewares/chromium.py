"""One Chromium for a crawl process. It reaches the world through the guarding proxy, and nothing else at all.

Playwright drives it, scrapy-playwright puts its pages into Scrapy's terms. Two contexts show one page each at a time,
and are thrown away after some: what a page leaves behind, in memory too, goes with its context.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import ip_address
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Error, Page
from playwright.async_api import Request as Fetch
from playwright.async_api import Response as Fetched
from playwright.async_api import TimeoutError as TookTooLong
from scrapy.crawler import Crawler
from scrapy.exceptions import DownloadCancelledError, DownloadFailedError, DownloadTimeoutError, IgnoreRequest
from scrapy.http import Request, Response, TextResponse
from scrapy_playwright.handler import ScrapyPlaywrightDownloadHandler
from scrapy_playwright.page import PageMethod

from pixcrawler.config import browser_environment, config
from pixcrawler.items import DEFAULT_PORTS, host_of
from pixcrawler.middlewares.addresses import Guard
from pixcrawler.middlewares.firewall import Refused
from pixcrawler.middlewares.guarding_proxy import GuardingProxy
from pixcrawler.rendering import RENDERED, Rendering

logger = logging.getLogger(__name__)
logging.getLogger("scrapy-playwright").setLevel(logging.ERROR)  # its warnings are tracebacks of what is raised anyway

PAGES_AT_ONCE = 2  # each takes some 100 MB, and most of a core while its scripts run
PAGES_PER_CONTEXT = 20  # a new one costs a tenth of a second, and the consent that was refused is forgotten
START_SECONDS = 30.0  # on a busy machine with a cold disk
PAGE_SECONDS = 120.0  # with all its scrolling
CLOSE_SECONDS = 5.0  # KILL comes 10 s after the first signal
LARGEST_PAGE = 25 * 2**20  # characters; as much as DOWNLOAD_MAXSIZE
MOVES = 5  # by itself, to other pages while it is looked at
STILL = 20  # quarters of a second without anything new until a page is taken to have no more

NOT_LOADED = frozenset({"image", "media", "font", "texttrack", "manifest", "ping", "eventsource"})

ARGUMENTS = (
    "--proxy-bypass-list=<-loopback>",  # otherwise it would go to this machine without asking the proxy
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",  # looks up nothing, prefetching included
    "--disable-quic",  # UDP passes no HTTP proxy
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--disable-domain-reliability",
    "--disable-gpu",
    "--disable-3d-apis",  # no result needs them, and drivers have holes
    "--renderer-process-limit=4",
    "--js-flags=--max-old-space-size=512",  # MB in each renderer
)
# Of Playwright's own: popups are for people, and pictures in software for tests.
NOT_ARGUMENTS = ("--disable-popup-blocking", "--enable-unsafe-swiftshader")

FETCHED = '<script type="text/plain" data-fetched>{}</script>'
SCROLL = """async ([selector, wanted, patience]) => {
    const shown = () => document.querySelectorAll(selector).length
    for (let still = 0; shown() < wanted && still < patience; ) {
        const before = shown()
        const bottom = document.documentElement.scrollHeight
        window.scrollTo(0, still % 2 ? bottom - 2 * window.innerHeight : bottom)  // what does not move tells no script
        await new Promise(done => setTimeout(done, 250))
        still = shown() > before ? 0 : still + 1
    }
}"""


class NoBrowser(IgnoreRequest):
    """Raised for a page when there is no browser that could render it."""


def unwanted(fetch: Fetch) -> bool:
    """Whether a page goes without something: what only eyes need, and what is not from the web."""
    return fetch.resource_type in NOT_LOADED or urlsplit(fetch.url).scheme not in DEFAULT_PORTS


@dataclass(slots=True)
class _Context:
    """A context of the browser, by its name. scrapy-playwright opens it with its first page."""

    name: str
    pages: int = 0  # shown


class Chromium:
    """Renders pages. Started by the first of them."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._proxy = GuardingProxy(Guard(config().allow_hosts), self._count_refusal)
        self._handler: ScrapyPlaywrightDownloadHandler | None = None
        self._user_agent = ""
        self._starting = asyncio.Lock()
        self._names = map(str, count(1))
        self._contexts: asyncio.LifoQueue[_Context] = asyncio.LifoQueue()
        for _ in range(PAGES_AT_ONCE):
            self._contexts.put_nowait(_Context(next(self._names)))

    async def render(self, request: Request) -> Response:
        """The page of a request. Raises Scrapy's own exceptions, `Refused`, and `NoBrowser`."""
        async with self._starting:
            handler = self._handler = self._handler or await self._start()
        context = await self._contexts.get()
        try:
            with self._proxy.page():
                response = await self._shown(request, context, handler)
            context.pages += 1
        except BaseException:
            context.pages = PAGES_PER_CONTEXT  # whatever the page goes on doing must end
            raise
        finally:
            await self._free(context, handler)
        return response

    async def _shown(self, request: Request, context: _Context, handler: ScrapyPlaywrightDownloadHandler) -> Response:
        page = _Page(request.meta[RENDERED])
        try:
            async with asyncio.timeout(PAGE_SECONDS):
                response = await handler.download_request(self._in_its_terms(request, context, page))
        except (TimeoutError, TookTooLong):
            self._refuse_as_the_proxy(request)
            raise DownloadTimeoutError(f"{request.url} took too long to render") from None
        except (Error, RuntimeError) as error:  # the latter for what would be a download
            self._refuse_as_the_proxy(request)
            raise DownloadFailedError(str(error).partition("\n")[0]) from error
        self._refuse_as_the_proxy(request)
        address = self._proxy.address_of(host_of(request.url))
        return page.complete(response).replace(request=request, ip_address=ip_address(address) if address else None)

    def _in_its_terms(self, request: Request, context: _Context, page: _Page) -> Request:
        """The request as scrapy-playwright understands it."""
        return request.replace(
            meta={
                "playwright": True,
                "playwright_context": context.name,
                "playwright_context_kwargs": {
                    "user_agent": self._user_agent,
                    "accept_downloads": False,
                    "service_workers": "block",  # they fetch behind the page's back
                },
                "playwright_page_init_callback": page.watch,
                "playwright_page_methods": [PageMethod(page.go_through)],
            }
        )

    def _refuse_as_the_proxy(self, request: Request) -> None:
        if why := self._proxy.why_refused(request.url):
            raise Refused(why)

    def _count_refusal(self, why: str) -> None:
        assert self._crawler.stats is not None
        self._crawler.stats.inc_value("firewall/refused")

    async def _free(self, context: _Context, handler: ScrapyPlaywrightDownloadHandler) -> None:
        """Gives the next page this context, or a new one."""
        if context.pages < PAGES_PER_CONTEXT:
            self._contexts.put_nowait(context)
            return
        self._contexts.put_nowait(_Context(next(self._names)))
        if opened := handler.context_wrappers.get(context.name):
            with suppress(Error, TimeoutError):
                await asyncio.wait_for(opened.context.close(), CLOSE_SECONDS)

    async def _start(self) -> ScrapyPlaywrightDownloadHandler:
        """Raises `NoBrowser`."""
        executable = config().chromium
        if not executable.is_file():
            raise NoBrowser(f"there is no {executable}: install Chromium, or say where it is in PIXCRAWLER_CHROMIUM")
        await self._proxy.start()
        handler = ScrapyPlaywrightDownloadHandler(self._crawler)
        handler.config = replace(
            handler.config, cdp_url=None, connect_url=None, launch_options=_launch_options(executable, self._proxy)
        )
        try:
            await handler._launch()  # what it does by itself only where it is there from the start
            await handler._maybe_launch_browser()
            self._user_agent = _user_agent(handler.browser.version)
        except (Error, OSError) as error:
            await handler.close()
            raise NoBrowser(f"{executable} does not start: {_cause(str(error))}") from error
        return handler

    async def close(self) -> None:
        """Ends the browser. What hangs ends with this process: it reads from a pipe of ours."""
        if self._handler is not None:
            with suppress(Error, TimeoutError):
                await asyncio.wait_for(self._handler.close(), CLOSE_SECONDS)
        await self._proxy.close()


class _Page:
    """One page: what is done with it, and what its scripts have fetched."""

    def __init__(self, rendering: Rendering) -> None:
        self._rendering = rendering
        self._bodies: list[asyncio.Task[str]] = []

    async def watch(self, page: Page, request: Request) -> None:
        """Called before the page is opened."""
        page.on("response", self._listen)
        page.on("popup", _close)

    def _listen(self, response: Fetched) -> None:
        if response.request.resource_type in ("xhr", "fetch"):
            self._bodies.append(asyncio.ensure_future(_text(response)))

    async def go_through(self, page: Page) -> None:
        """Called when the page is loaded."""
        if self._rendering.decline and await page.locator(self._rendering.decline).count():
            async with page.expect_navigation():
                await page.locator(self._rendering.decline).first.click()
        if self._rendering.scroll:
            await _evaluated(page, SCROLL, [self._rendering.scroll, self._rendering.until, STILL])
        with suppress(TookTooLong):  # what scripts have fetched they are to show too
            await page.wait_for_load_state("networkidle", timeout=CLOSE_SECONDS * 1000)
        if self._bodies:
            await asyncio.wait(self._bodies, timeout=CLOSE_SECONDS)
        if await _evaluated(page, "document.documentElement.outerHTML.length") > LARGEST_PAGE:
            raise DownloadCancelledError(f"the page has more than {LARGEST_PAGE} characters")

    def complete(self, response: Response) -> Response:
        """The answer with what the scripts have fetched, as far as there is room for it."""
        if not isinstance(response, TextResponse):
            return response
        parts, room = [response.text], LARGEST_PAGE - len(response.text)
        for body in self._bodies:
            text = body.result() if body.done() else ""
            if text and len(text) < room:
                parts.append(FETCHED.format(text.replace("</", "<\\/")))
                room -= len(text)
            body.cancel()
        return response.replace(body="\n".join(parts).encode("utf-8", "replace"), encoding="utf-8")


async def _evaluated(page: Page, script: str, argument: Any = None) -> Any:
    """What a script makes of a page, or of those it moves on to by itself meanwhile."""
    for _ in range(MOVES):
        try:
            return await page.evaluate(script, argument)
        except Error as error:
            if "context was destroyed" not in error.message:
                raise
            await page.wait_for_load_state()
    raise DownloadFailedError(f"{page.url} does not stay")


async def _close(popup: Page) -> None:
    with suppress(Error):
        await popup.close()


async def _text(response: Fetched) -> str:
    with suppress(Error, UnicodeDecodeError):  # it was broken off, or is no text
        return await response.text()
    return ""


def _launch_options(executable: Path, proxy: GuardingProxy) -> dict[str, Any]:
    if is_root := hasattr(os, "geteuid") and os.geteuid() == 0:
        logger.warning("Chromium runs without its sandbox, which is not for root: run as another user")
    return {
        "executable_path": str(executable),
        "args": list(ARGUMENTS),
        "ignore_default_args": list(NOT_ARGUMENTS),
        "chromium_sandbox": not is_root,
        "proxy": {"server": proxy.url, "username": proxy.username, "password": proxy.password},
        "env": browser_environment(),
        "timeout": START_SECONDS * 1000,
        # A signal to the group is the crawl's to handle: it ends the browser in its turn.
        "handle_sigint": False,
        "handle_sigterm": False,
        "handle_sighup": False,
    }


def _user_agent(version: str) -> str:
    """The browser it is, and who is behind it."""
    engine = f"AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version.partition('.')[0]}.0.0.0 Safari/537.36"
    return f"Mozilla/5.0 (X11; Linux x86_64) {engine} {config().user_agent}"


def _cause(message: str) -> str:
    """The line that says why, of many."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return next((line for line in lines if "FATAL" in line or "error while" in line), lines[0])
