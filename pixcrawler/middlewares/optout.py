"""Takes nothing that its owner has reserved: asks the host before a picture, reads the headers before its body."""

from __future__ import annotations

import logging
from collections.abc import Collection
from urllib.parse import urlsplit

from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.exceptions import IgnoreRequest, StopDownload
from scrapy.http import Headers, Request, Response

from pixcrawler.config import config
from pixcrawler.middlewares.host_files import RECEIVED, HostFiles
from pixcrawler.opt_outs import JUDGED, LIMIT, Denial, Kind
from pixcrawler.opt_outs.headers import no_image, tdm_reservation, x_robots_tag

DENIAL = "opt_out_denial"  # in a request's meta, between its headers and its body
UNTOLD = object()

logger = logging.getLogger(__name__)


class OptedOut(IgnoreRequest):
    """Raised for what must not be fetched or read; its message names the rule."""

    def __init__(self, denial: Denial) -> None:
        super().__init__(denial.rule)
        self.reason = denial.reason


class OptOutMiddleware:
    """Judges requests that are marked `JUDGED`, at every redirect anew. Sources' APIs go by their terms instead."""

    def __init__(self, crawler: Crawler, agent: str, exempt: Collection[str]) -> None:
        self.crawler = crawler
        self.agent = agent
        self.exempt = frozenset(exempt)
        self.hosts = HostFiles(self._download, agent)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> OptOutMiddleware:
        if exempt := config().opt_out_exempt:
            logger.warning("Opt-outs of these hosts are not asked for: %s", ", ".join(exempt))
        middleware = cls(crawler, config().user_agent.partition("/")[0], exempt)
        crawler.signals.connect(middleware.headers_received, signals.headers_received)
        crawler.signals.connect(middleware.bytes_received, signals.bytes_received)
        return middleware

    async def process_request(self, request: Request) -> None:
        if RECEIVED in request.meta:
            request.meta[RECEIVED] = 0  # it may be asked for again after a pause
        kind: Kind | None = request.meta.get(JUDGED)
        if kind is None or self._is_exempt(request):
            return
        rules = await self.hosts.rules_for(request.url)
        if denial := rules.denial(request.url, kind):
            raise OptedOut(denial)

    def headers_received(self, headers: Headers, request: Request) -> None:
        """Leaves the body of what `process_response` will refuse. Errors are not yet told from answers here."""
        request.meta[DENIAL] = self._denial(headers, request)
        if request.meta[DENIAL]:
            raise StopDownload(fail=False)

    def process_response(self, request: Request, response: Response) -> Response:
        told = request.meta.pop(DENIAL, UNTOLD)  # by the same headers; rendered pages come without
        denial = self._denial(response.headers, request) if told is UNTOLD else told
        if denial and response.status < 400:
            raise OptedOut(denial)
        return response

    def bytes_received(self, data: bytes, request: Request) -> None:
        """Ends a host's file where reading ends."""
        received = request.meta.get(RECEIVED)
        if received is not None:
            request.meta[RECEIVED] = received + len(data)
            if request.meta[RECEIVED] > LIMIT:
                raise StopDownload(fail=False)

    def _denial(self, headers: Headers, request: Request) -> Denial | None:
        kind: Kind | None = request.meta.get(JUDGED)
        if kind is None:
            return None
        denial = None if self._is_exempt(request) else self._reservation(headers, kind)
        if denial is None and kind is Kind.IMAGE and "Location" not in headers:
            denial = no_image((headers.get("Content-Type") or b"").decode("latin-1"))
        return denial

    def _reservation(self, headers: Headers, kind: Kind) -> Denial | None:
        return x_robots_tag(_values(headers, "X-Robots-Tag"), self.agent, kind) or tdm_reservation(
            _values(headers, "tdm-reservation"), _values(headers, "tdm-policy")
        )

    def _is_exempt(self, request: Request) -> bool:
        return bool(self.exempt) and (urlsplit(request.url).hostname or "").rstrip(".") in self.exempt

    async def _download(self, request: Request) -> Response:
        assert self.crawler.engine is not None
        return await self.crawler.engine.download_async(request)


def _values(headers: Headers, name: str) -> list[str]:
    return [value.decode("latin-1") for value in headers.getlist(name)]
