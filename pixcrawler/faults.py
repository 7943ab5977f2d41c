"""Where PixCrawler can be made to die, for tests. `PIXCRAWLER_FAULT=point:probability[,…]`; nothing when unset.

A point stands wherever one durable step is done and the next is not: between a commit and a request, a request and
the commit that books it, a file and its row. The process kills itself there as `kill -9` would, with one line on
stderr before. Two points do not kill: they make PostgreSQL refuse the transaction, as it does to those who lose a race.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Callable

from pixcrawler.config import config
from pixcrawler.errors import UsageError

POINTS = {
    "dispatcher.claimed": "a row is claimed, and not planned",
    "dispatcher.heeded": "a job is cancelling, and no process has been told",
    "dispatcher.planned": "runs are there, and no attempt",
    "dispatcher.booked": "an attempt is booked, and its node not asked",
    "dispatcher.posted": "the node has answered, and nobody knows",
    "dispatcher.delivered": "the delivery is booked",
    "dispatcher.asked": "the node has told what it knows, and nothing is concluded",
    "dispatcher.cancelled": "the node was told to cancel, and that is not booked",
    "dispatcher.ended": "an attempt is ended, and its run not settled",
    "dispatcher.settled": "a run is settled",
    "dispatcher.finished": "a job has reached its end, or the next state",
    "dispatcher.projected": "the front end's rows are written",
    "crawl.opened": "the attempt is claimed, and nothing asked",
    "crawl.paged": "a page is booked, and nothing begun",
    "crawl.begun": "pictures are booked as in flight",
    "crawl.fetched": "a picture's bytes are there",
    "crawl.stored": "a picture is stored, and not decided",
    "crawl.decided": "decisions are booked",
    "crawl.closing": "all is done, and the outcome not written",
    "crawl.closed": "the outcome is written",
    "exporter.claimed": "an export is claimed",
    "exporter.built": "a dataset is built, and not stored",
    "exporter.stored": "a dataset is stored, and not published",
    "exporter.published": "a dataset is published",
    "moving.published": "a dataset is published in its new tier, and its files in the old one are still there",
    "takedown.booked": "something is taken back, and nothing of it removed",
    "takedown.entombed": "its fingerprints are kept out, and nothing is removed",
    "takedown.removed": "rows of pictures are gone, and their files are still there",
}
REFUSALS = {
    "database.serialization": "40001",
    "database.deadlock": "40P01",
}


def arm() -> None:
    """Reads which faults are asked for: at the start of every process that has points. Raises `UsageError`."""
    global reach
    _chosen.update(map(_parse, config().fault))
    if _chosen:
        sys.stderr.write(f"PIXCRAWLER_FAULT is set: this process may kill itself at {', '.join(_chosen)}\n")
        reach = _die_perhaps


def _parse(word: str) -> tuple[str, float]:
    point, _, probability = word.partition(":")
    known = (*POINTS, *REFUSALS)
    if point not in known:
        raise UsageError(f"PIXCRAWLER_FAULT: there is no point {point!r}; there are {', '.join(known)}")
    try:
        return point, float(probability)
    except ValueError:
        raise UsageError(f"PIXCRAWLER_FAULT: expected {point}:probability, not {word!r}") from None


def _fires(point: str) -> bool:
    return random.random() < _chosen.get(point, 0)  # noqa: S311  # chance, not a secret


def _nothing(point: str) -> None:
    """No faults were asked for."""


def _die_perhaps(point: str) -> None:
    if _fires(point):
        os.write(sys.stderr.fileno(), f"fault {point}\n".encode())
        os.kill(os.getpid(), signal.SIGKILL)


def refusal() -> str | None:
    """The SQLSTATE with which the transaction at hand is to fail, if any."""
    return next((state for point, state in REFUSALS.items() if _fires(point)), None) if _chosen else None


_chosen: dict[str, float] = {}
reach: Callable[[str], None] = _nothing  # called as `faults.reach("…")`: arming replaces it
