"""What every request must pass before anybody looks at it, and what every answer carries."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pixcrawler.api.addresses import is_ours
from pixcrawler.api.problems import Code, Refused, answer
from pixcrawler.config import Config
from pixcrawler.metrics import API_SECONDS

BODY_BYTES = 1_000_000
LIST_BYTES = 100_000_000  # a million addresses; a crawl process reads the file as a whole
SECONDS = 30.0  # until an answer begins; as long as a statement may take
UPLOAD_SECONDS = 600.0  # the largest list over a slow line
UPLOADS = ("/api/v1/crawl-jobs/lists", "/jobs/new")
LIVENESS = "/api/v1/health/"  # asked by machines that know an address only
HARMLESS = ("GET", "HEAD", "OPTIONS")
OWN_PAGES = ("same-origin", "none")  # of Sec-Fetch-Site; none: typed in by hand

CARRIED = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


class Guard:
    """The outermost layer."""

    def __init__(self, app: ASGIApp, config: Config) -> None:
        self._app = app
        self._config = config

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope)
        except Refused as refusal:
            await answer(HTTPConnection(scope), refusal.code, str(refusal))(scope, receive, send)
            return
        await self._in_time(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if scope["path"] != LIVENESS and not is_ours(headers.get("host", ""), self._config):
            raise Refused(Code.WRONG_HOST, "nobody of that name is here; PIXCRAWLER_API_URL says what we are called")
        if scope["method"] not in HARMLESS and not self._is_from_us(headers):
            raise Refused(Code.FOREIGN_ORIGIN, "pages of other sites may not do that: see ALLOWED_ORIGINS")

    def _is_from_us(self, headers: Headers) -> bool:
        """Programs send neither header; browsers send both, unless they are old."""
        origin = headers.get("origin")
        if origin in self._config.allowed_origins:
            return True
        own = origin is None or urlsplit(origin).netloc == headers.get("host")
        return own and headers.get("sec-fetch-site", "none") in OWN_PAGES

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        """Reads no more of a body than it may have."""
        most = left = LIST_BYTES if scope["path"] in UPLOADS else BODY_BYTES

        async def limited() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {most:,} bytes")
            return message

        return limited

    async def _in_time(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = False
        start = time.perf_counter()

        async def tell(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                deadline.reschedule(None)  # streams and files take as long as they take
                _complete(MutableHeaders(scope=message), scope)
                _count(scope, message["status"], time.perf_counter() - start)
            await send(message)

        seconds = UPLOAD_SECONDS if scope["path"] in UPLOADS else SECONDS
        try:
            async with asyncio.timeout(seconds) as deadline:
                await self._app(scope, self._limited(scope, receive), tell)
        except TimeoutError:
            if began or not deadline.expired():
                raise
            late = f"it took more than {seconds:.0f} s"
            response = answer(HTTPConnection(scope), Code.UNAVAILABLE, late, headers={"Retry-After": "5"})
            await response(scope, receive, send)


def _count(scope: Scope, status: int, seconds: float) -> None:
    route = getattr(scope.get("route"), "path", "none")  # never the path: there are as many as people invent
    API_SECONDS.labels(route, status).observe(seconds)


def _complete(headers: MutableHeaders, scope: Scope) -> None:
    for name, value in CARRIED.items():
        headers.setdefault(name, value)
    count = scope.get("state", {}).get("count")
    if count is not None:
        headers["ratelimit-limit"] = str(count.limit)
        headers["ratelimit-remaining"] = str(count.left)
        headers["ratelimit-reset"] = str(count.seconds)
