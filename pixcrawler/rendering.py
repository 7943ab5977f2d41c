"""How a source asks for a page as a browser shows it. Who renders it: `middlewares/browser.py`."""

from __future__ import annotations

from dataclasses import dataclass

from scrapy.http import Request

RENDERED = "rendered"  # in a request's meta: a `Rendering`


@dataclass(frozen=True, slots=True)
class Rendering:
    """What is done with a page before it is read. Selectors are those of CSS; an empty one does nothing."""

    decline: str = ""  # the button that refuses consent; clicked where a page shows it instead of what was asked for
    scroll: str = ""  # what the page goes on adding when it is scrolled down
    until: int = 0  # how many of these are enough


def rendered(request: Request, *, decline: str = "", scroll: str = "", until: int = 0) -> Request:
    """The request, to be answered by a browser: its scripts run, its pictures and fonts are not loaded.

    The body of the answer is the document as it then is; after it, each in a <script type="text/plain" data-fetched>
    with `</` written as `<\\/`, what its scripts have fetched. The URL is the one the browser ended at. The middlewares
    see request and answer like any other. A source needs nothing else:

        def search(self, keyword, cursor, narrowed):
            return rendered(self.ask("search", {"q": keyword}), scroll="[data-id]", until=100)
    """
    return request.replace(meta=request.meta | {RENDERED: Rendering(decline, scroll, until)})
