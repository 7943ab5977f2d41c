"""Unpacks what came packed, and lets go of what cannot be."""

from __future__ import annotations

from scrapy.downloadermiddlewares.httpcompression import HttpCompressionMiddleware
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Request, Response

from pixcrawler.jobs import Reason


class NotUnpacked(IgnoreRequest):
    """Raised for a body that is damaged, or too large once unpacked."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class UnpackMiddleware(HttpCompressionMiddleware):
    """Scrapy's own, but for its exceptions: their tracebacks keep all that was unpacked until somebody cleans up."""

    def process_response(  # type: ignore[override]  # the spider argument is deprecated
        self, request: Request, response: Response
    ) -> Request | Response:
        try:
            return super().process_response(request, response)
        except IgnoreRequest as error:
            refusal = NotUnpacked(Reason.TOO_LARGE, str(error))
        except Exception as error:  # each decoder has others
            refusal = NotUnpacked(Reason.DAMAGED, f"cannot be unpacked: {error}")
        raise refusal  # not within: it would carry the other one along
