"""How long statements take, as the process that waits for them sees it."""

from __future__ import annotations

import math
import time
from collections import Counter
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from pixcrawler.metrics import STATEMENT_SECONDS

STEP = 1.1  # buckets grow by a tenth: a percentile is as exact as that


class Timings:
    """Durations in buckets: nothing grows, however long the process lives."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()

    def add(self, seconds: float) -> None:
        """Counts one statement."""
        self._buckets[math.ceil(math.log(max(seconds, 1e-6), STEP))] += 1

    @property
    def number(self) -> int:
        """Statements so far."""
        return self._buckets.total()

    def within(self, share: float) -> float:
        """Seconds within which this share of the statements was done; 0 if there was none."""
        left = share * self.number
        for bucket in sorted(self._buckets):
            left -= self._buckets[bucket]
            if left <= 0:
                return float(STEP**bucket)
        return 0.0

    def __str__(self) -> str:
        return f"{self.number:,} statements, 95 % within {self.within(0.95) * 1000:.0f} ms"


def measure(engine: AsyncEngine) -> Timings:
    """Times every statement of an engine from now on."""
    timings = Timings()

    def before(connection: Any, *_: object) -> None:
        connection.info["began"] = time.perf_counter()

    def after(connection: Any, *_: object) -> None:
        seconds = time.perf_counter() - connection.info["began"]
        timings.add(seconds)
        STATEMENT_SECONDS.observe(seconds)

    event.listen(engine.sync_engine, "before_cursor_execute", before)
    event.listen(engine.sync_engine, "after_cursor_execute", after)
    return timings
