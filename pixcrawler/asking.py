"""Asks a source for a page: politely, patiently, and never after the run has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container
from math import ceil
from typing import TypeVar

from scrapy.crawler import Crawler
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Request, Response

from pixcrawler.crawling import ASKED
from pixcrawler.errors import PixCrawlerError, SourceRefused, SourceSaysLater
from pixcrawler.jobs import AttemptState, Outcome
from pixcrawler.pauses import LONGEST_WAIT, HostPaused, asks_for_pause, retry_after

# A source that does not answer is asked again after these seconds; an outage is left to the next attempt.
PAUSES = (1.0, 5.0)
GLANCE = 0.25  # seconds; a stopped engine tells nobody, so it is looked at this often

T = TypeVar("T")


class SourceUnreachable(PixCrawlerError):
    """Raised when a source gives no answer, or a server error: asking again may help."""


class Asker:
    """Asks one source. `delay` is the seconds between the beginnings of two requests."""

    def __init__(self, crawler: Crawler, name: str, delay: float, stopping: Callable[[], bool]) -> None:
        self.crawler = crawler
        self.name = name
        self.delay = delay
        self.stopping = stopping
        self._turn = asyncio.Lock()
        self._next = 0.0

    async def ask(
        self, request: Callable[[], Request], read: Callable[[Response], T], understood: Container[int]
    ) -> T | Outcome | None:
        """What `read` makes of an answer; or how the run ends without one; or None once it has ended."""
        waited, pauses = 0.0, iter(PAUSES)
        while not self.stopping():
            try:
                return read(await self.answer(request(), understood))
            except PixCrawlerError as error:
                failure = error
            if self.stopping():
                break  # the engine breaks off what is under way
            match failure:
                case SourceSaysLater(message=message, seconds=seconds):
                    waited += seconds
                    if waited > LONGEST_WAIT:
                        return Outcome(AttemptState.DEFERRED, f"{self.name}: {message}", seconds)
                    await self._pause(seconds)
                case SourceUnreachable() if pause := next(pauses, None):
                    await self._pause(pause)
                case SourceUnreachable():
                    return Outcome(AttemptState.LOST, f"{self.name}: {failure}")
                case _:
                    return Outcome(AttemptState.FAILED, f"{self.name}: {failure}")
        return None

    async def answer(self, request: Request, understood: Container[int]) -> Response:
        """The answer to one question, at the source's pace. Raises what its status, or its lack, means."""
        request.meta.update({ASKED: True, "dont_retry": True})  # how soon to ask again is decided above
        async with self._turn:
            clock = asyncio.get_running_loop().time
            await self._pause(self._next - clock())
            self._next = clock() + self.delay
        try:
            response = await self.crawler.engine.download_async(request)
        except HostPaused as error:
            raise SourceSaysLater(str(error), error.seconds) from error
        except (IgnoreRequest, ValueError) as error:
            raise SourceRefused(f"cannot be asked: {error}") from error
        except Exception as error:
            raise SourceUnreachable(f"does not answer ({type(error).__name__})") from error
        return checked(response, understood)

    async def _pause(self, seconds: float) -> None:
        for _ in range(ceil(seconds / GLANCE)):
            if self.stopping():
                return
            await asyncio.sleep(GLANCE)


def checked(response: Response, understood: Container[int]) -> Response:
    """The response itself, if it is 2xx or `understood`. Else raises what its status means."""
    if 200 <= response.status < 300 or response.status in understood:
        return response
    if asks_for_pause(response):
        raise SourceSaysLater(f"asks for a pause ({response.status})", retry_after(response))
    if response.status >= 500:
        raise SourceUnreachable(f"answers {response.status}")
    raise SourceRefused(f"answers {response.status}")
