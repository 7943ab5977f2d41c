"""What owners have reserved, by the files of their host and the headers of an answer: pure, no I/O."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from pixcrawler.jobs import Reason

JUDGED = "judged"  # in a request's meta: the `Kind` of what it fetches; without it nothing is looked for
LIMIT = 500 * 2**10  # bytes of a file that are read; no less by RFC 9309 §2.5


class Kind(StrEnum):
    """What is fetched: some reservations are for pictures only."""

    IMAGE = "image"
    PAGE = "page"


class Denial(NamedTuple):
    """Why something must not be fetched, or not be read further."""

    reason: Reason
    rule: str


def text_of(body: bytes) -> str:
    """The lines of a file within `LIMIT`, whatever its bytes; not the last one, which says something else once cut."""
    if len(body) > LIMIT:
        body = body[:LIMIT].rpartition(b"\n")[0]
    return body.decode("utf-8-sig", "replace")
