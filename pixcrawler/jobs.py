"""States of jobs, runs and attempts, the reasons of the funnel, and planning: pure, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class JobState(StrEnum):
    """`crawler.jobs.state`. The last three are terminal: only a new generation leaves them."""

    PENDING = "pending"  # its options wait here until the job is claimed
    CRAWLING = "crawling"
    CANCELLING = "cancelling"
    EXPORTING = "exporting"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RunState(StrEnum):
    """`crawler.runs.state`."""

    PENDING = "pending"  # wants an attempt
    RUNNING = "running"  # has an active attempt
    DEFERRED = "deferred"  # wants an attempt after `not_before`
    SUCCEEDED = "succeeded"  # kept its quota
    SHORT = "short"  # its source had no more
    FAILED = "failed"
    CANCELLED = "cancelled"


class AttemptState(StrEnum):
    """`crawler.attempts.state`."""

    DISPATCHING = "dispatching"  # committed, the node is being asked
    DISPATCHED = "dispatched"  # the node said yes
    RUNNING = "running"  # the crawl process has claimed it
    SUCCEEDED = "succeeded"
    SHORT = "short"
    FAILED = "failed"
    DEFERRED = "deferred"
    CANCELLED = "cancelled"
    LOST = "lost"  # ended without an outcome that counts: the next attempt goes on
    UNDELIVERED = "undelivered"  # no node took it; does not count as a failure


class ExportState(StrEnum):
    """`crawler.exports.state`."""

    PENDING = "pending"
    BUILDING = "building"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


TERMINAL_JOBS = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})
UNFINISHED_RUNS = frozenset({RunState.PENDING, RunState.RUNNING, RunState.DEFERRED})
ACTIVE_ATTEMPTS = frozenset({AttemptState.DISPATCHING, AttemptState.DISPATCHED, AttemptState.RUNNING})

KEPT = "kept"


class Reason(StrEnum):
    """Why a candidate was not kept: exactly one each, the names of the funnel."""

    DUPLICATE_URL = "duplicate_url"  # another run of the job met it
    DUPLICATE_BYTES = "duplicate_bytes"
    NEAR_DUPLICATE = "near_duplicate"
    TOO_SMALL = "too_small"
    ASPECT = "aspect"
    NOT_AN_IMAGE = "not_an_image"
    DAMAGED = "damaged"
    BOMB = "bomb"  # more pixels or frames than a picture needs
    TOO_LARGE = "too_large"  # more bytes than allowed
    BAD_URL = "bad_url"
    FIREWALL = "firewall"
    HTTP_ERROR = "http_error"
    SERVER_ERROR = "server_error"  # 5xx, 429
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    CRASHED = "crashed"  # in flight at two deaths, or the death of an inspection worker
    OVER_QUOTA = "over_quota"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"  # its run failed


# A later run or generation may take these again.
NOT_HOLDING = frozenset(
    {
        Reason.DUPLICATE_URL,
        Reason.SERVER_ERROR,
        Reason.TIMEOUT,
        Reason.UNREACHABLE,
        Reason.OVER_QUOTA,
        Reason.CANCELLED,
        Reason.ABANDONED,
    }
)


class Spent(StrEnum):
    """Why a (source, keyword) has no more to give."""

    EXHAUSTED = "exhausted"  # the source has no further page
    CAPPED = "capped"  # the source has more but does not show it
    BARREN = "barren"  # its last 300 candidates kept fewer than 1 %


@dataclass(slots=True)
class Slice:
    """A run's share of one keyword. Stored in `crawler.runs.slices` under the keyword."""

    quota: int | None  # images to keep; None: all there are (only without a database)
    cursor: Any = None  # JSON; where the next page begins; None: at the start
    spent: Spent | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended, in the words of the process itself."""

    state: AttemptState  # SUCCEEDED, SHORT, FAILED, DEFERRED, CANCELLED or LOST
    reason: str = ""
    later_seconds: float | None = None  # DEFERRED: when the source may be asked again


@dataclass(frozen=True, slots=True)
class Funnel:
    """What became of every candidate: found = kept + all reasons."""

    counts: Mapping[str, int]  # decision → number; "open" while undecided

    @property
    def found(self) -> int:
        return sum(self.counts.values())

    @property
    def kept(self) -> int:
        return self.counts.get(KEPT, 0)

    @property
    def reasons(self) -> dict[str, int]:
        """The numbers of all that was not kept, largest first."""
        others = {name: n for name, n in self.counts.items() if name != KEPT and n}
        return dict(sorted(others.items(), key=lambda pair: (-pair[1], pair[0])))

    def to_json(self) -> dict[str, Any]:
        return {"found": self.found, "kept": self.kept, "reasons": self.reasons}

    @classmethod
    def of(cls, decisions: Iterable[tuple[str | None, int]]) -> Funnel:
        """From the rows of `GROUP BY decision`."""
        return cls({decision or "open": n for decision, n in decisions})
