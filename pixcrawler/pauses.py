"""Hosts that asked for a pause, as far as this process knows: whom not to ask, and for how long."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response

from pixcrawler.jobs import Reason
from pixcrawler.ledger import Pause

LONGEST_WAIT = 60.0  # seconds somebody may ask us to wait before we go on without
NO_RETRY_AFTER = 30.0  # seconds, for "too many requests" without a time
LONGEST_RETRY_AFTER = 86400.0  # seconds; a day, the deadline of a job
MOST_DOUBLINGS = 17  # of a second: longer than a day
NEWS = 1.0  # seconds by which a pause must grow before others are told again


class HostPaused(IgnoreRequest):
    """Raised for a request to a host whose pause is too long to wait for."""

    reason = Reason.PAUSED

    def __init__(self, host: str, pause: Pause) -> None:
        super().__init__(f"{host} {pause.reason}; {pause.seconds:.0f} s are left")
        self.seconds = pause.seconds


def asks_for_pause(response: Response) -> bool:
    """Whether an answer says that its host wants fewer requests, and not merely that it is broken."""
    return response.status == 429 or (response.status == 503 and "Retry-After" in response.headers)


def retry_after(response: Response, otherwise: float = NO_RETRY_AFTER) -> float:
    """The seconds of `Retry-After`, a number or a date, or of `X-RateLimit-Reset`, between 1 and a day."""
    value = (response.headers.get("Retry-After") or b"").decode("latin-1").strip()
    reset = (response.headers.get("X-RateLimit-Reset") or b"").decode("latin-1").strip()
    try:
        seconds = float(value) if value.isdecimal() else _seconds_until(value)
    except ValueError:
        seconds = _seconds_left(float(reset)) if reset.isdecimal() else otherwise
    return min(max(seconds, 1.0), LONGEST_RETRY_AFTER)


def _seconds_left(reset: float) -> float:
    """Some say how long it takes, some the moment as Unix time."""
    return reset if reset <= LONGEST_RETRY_AFTER else reset - datetime.now(UTC).timestamp()


def _seconds_until(date: str) -> float:
    moment = parsedate_to_datetime(date)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - datetime.now(UTC)).total_seconds()


@dataclass(slots=True)
class _Told:
    """What a host has said."""

    until: float = 0.0  # by the monotonic clock
    reason: str = ""
    in_a_row: int = 0  # pauses without another answer between them


class Pauses:
    """What hosts said to this process, and what others were told."""

    def __init__(self) -> None:
        self._hosts: dict[str, _Told] = {}  # as many as have ever asked for a pause
        self._news: dict[str, Pause] = {}

    def heed(self, host: str, response: Response) -> None:
        """Books what an answer says."""
        if asks_for_pause(response):
            self.asked_for(host, Pause(retry_after(response), f"answers {response.status} and wants a pause"))
        else:
            self.answered(host)

    def asked_for(self, host: str, pause: Pause) -> None:
        """Books what a host has just said.

        Who says it again right after a pause gets twice the time: nobody makes us wait for ever.
        """
        told, now = self._hosts.setdefault(host, _Told()), time.monotonic()
        seconds = pause.seconds
        if told.until <= now:
            told.in_a_row += 1
            seconds *= 2 ** min(told.in_a_row - 1, MOST_DOUBLINGS)
        pause = Pause(min(seconds, LONGEST_RETRY_AFTER), pause.reason)
        if now + pause.seconds > told.until + NEWS:
            self._news[host] = pause
        self.heard_of(host, pause)

    def take_news(self) -> dict[str, Pause]:
        """Pauses that other processes must be told of, once."""
        news, self._news = self._news, {}
        return news

    def heard_of(self, host: str, pause: Pause) -> None:
        """Books what another process was told. A longer pause stays."""
        told = self._hosts.setdefault(host, _Told())
        until = time.monotonic() + pause.seconds
        if until > told.until:
            told.until, told.reason = until, pause.reason

    def answered(self, host: str) -> None:
        """Books an answer of another kind: the host is content."""
        if (told := self._hosts.get(host)) and told.until <= time.monotonic():
            told.in_a_row = 0

    def knows(self, host: str) -> bool:
        """Whether the host has ever asked for a pause."""
        return host in self._hosts

    def left(self, host: str) -> float:
        """Seconds for which the host must not be asked; 0: it may be."""
        told = self._hosts.get(host)
        return max(0.0, told.until - time.monotonic()) if told else 0.0

    def is_short(self, host: str) -> bool:
        """Whether the host must not be asked now, and can be waited for."""
        return 0 < self.left(host) <= LONGEST_WAIT

    def refuse_long(self, host: str) -> None:
        """Raises `HostPaused` if the host cannot be waited for."""
        if (seconds := self.left(host)) > LONGEST_WAIT:
            raise HostPaused(host, Pause(seconds, self._hosts[host].reason))

    @property
    def hosts(self) -> set[str]:
        """Who must not be asked now."""
        return {host for host in self._hosts if self.left(host)}
