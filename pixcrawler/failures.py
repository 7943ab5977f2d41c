"""What the funnel calls a download that failed."""

from __future__ import annotations

from scrapy.exceptions import (
    DownloadCancelledError,
    DownloadTimeoutError,
    IgnoreRequest,
    UnsupportedURLSchemeError,
)

from pixcrawler.jobs import Reason


def reason_of(error: BaseException | None) -> Reason:
    """The reason an exception of Scrapy, or one of ours with a `reason`, stands for."""
    match error:
        case IgnoreRequest() if isinstance(ours := getattr(error, "reason", None), Reason):
            return ours  # firewall, fence, opt-out, unpack
        case DownloadTimeoutError():
            return Reason.TIMEOUT
        case DownloadCancelledError():
            return Reason.TOO_LARGE
        case IgnoreRequest():
            return Reason.HTTP_ERROR  # too many redirects
        case ValueError() | UnsupportedURLSchemeError():
            return Reason.BAD_URL
    return Reason.UNREACHABLE
