"""Pages that need no network: the beginning of every run, and the pages of lists."""

from __future__ import annotations

from scrapy.http import Request, Response

from pixcrawler.crawling import LOCAL


class LocalPageMiddleware:
    """Answers requests marked as local with an empty page. The mark is set by our code only, never by a URL."""

    def process_request(self, request: Request) -> Response | None:
        return Response(request.url, request=request) if request.meta.get(LOCAL) else None
