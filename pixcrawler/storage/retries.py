"""Patience with a store that is busy, or hard to reach."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from pixcrawler.errors import StorageFailed

T = TypeVar("T")
logger = logging.getLogger(__name__)

PASSING = frozenset({408, 429, 500, 502, 503, 504})  # statuses of a store that may well say otherwise in a moment
TRIES = 8  # with the pauses between them a minute: a store's front door is back by then, or stays away
FIRST_PAUSE = 0.5  # seconds; doubles
LONGEST_PAUSE = 30.0  # whatever a store asks for: somebody waits


class Again(Exception):
    """Raised for what may pass; `seconds`: the store wants no earlier try."""

    def __init__(self, cause: str, seconds: float = 0) -> None:
        super().__init__(cause)
        self.seconds = seconds


def patiently(work: Callable[[], T], subject: str) -> T:
    """Does `work`, which must be safe to repeat, again after each `Again`. Raises `StorageFailed` when it was the last.

    Blocks.
    """
    pause = FIRST_PAUSE
    for left in range(TRIES - 1, -1, -1):
        try:
            return work()
        except Again as trouble:
            if not left:
                raise StorageFailed(f"{trouble}, {TRIES} times: {subject}") from trouble
            seconds = min(max(trouble.seconds, pause * random.uniform(0.5, 1)), LONGEST_PAUSE)  # noqa: S311  # jitter
            logger.info("again in %.1f s, because %s: %s", seconds, trouble, subject)
        time.sleep(seconds)
        pause *= 2
    raise AssertionError("unreachable")


def wanted_pause(headers: Mapping[str, str]) -> float:
    """The seconds that `Retry-After` names, as a number or as a time; 0 without it."""
    value = headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
