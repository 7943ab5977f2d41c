"""States of jobs, runs and attempts, the reasons of the funnel, and planning: pure, no I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pixcrawler.errors import UsageError


class JobState(StrEnum):
    """`crawler.jobs.state`. The last three are terminal: only a new generation leaves them."""

    PENDING = "pending"  # its options wait here until the job is claimed
    CRAWLING = "crawling"
    CANCELLING = "cancelling"
    EXPORTING = "exporting"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class JobStatus(StrEnum):
    """`crawl_jobs.status`: a job as the front end knows it."""

    PENDING = "pending"
    RUNNING = "running"
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
    REMOVED = "removed"  # its files are gone: superseded, too old, or moved to another tier


class Tier(StrEnum):
    """`crawler.exports.tier`: how readily a file is had."""

    HOT = "hot"  # at once
    WARM = "warm"  # at once too; cheaper to keep, dearer to read


class ExportFormat(StrEnum):
    """`crawler.exports.format`."""

    ZIP = "zip"  # folders of pictures
    SEVEN_ZIP = "7z"  # the same
    WEBDATASET = "webdataset"  # tar files
    PARQUET = "parquet"  # with the pictures in a column
    CSV = "csv"  # no pictures, only what is known of them
    JSONL = "jsonl"


class Channel(StrEnum):
    """`crawler.outbox.channel`: how a notification leaves the house."""

    EMAIL = "email"
    WEBHOOK = "webhook"


class MessageState(StrEnum):
    """`crawler.outbox.state`."""

    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"


class Health(StrEnum):
    """`crawler.sources.state`: what the last check of a source came to."""

    OK = "ok"
    BROKEN = "broken"  # it answers, and cannot be read any more
    UNREACHABLE = "unreachable"  # it does not answer


class Extent(StrEnum):
    """Among whose pictures duplicates are looked for; a job's option `scope`."""

    JOB = "job"
    PROJECT = "project"
    OWNER = "owner"


TERMINAL_JOBS = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})
JOBS_AT_WORK = frozenset(JobState) - TERMINAL_JOBS - {JobState.PENDING}
UNFINISHED_EXPORTS = frozenset({ExportState.PENDING, ExportState.BUILDING})
# With the pictures inside: whoever has one of these has the dataset.
PACKED_FORMATS = frozenset(ExportFormat) - {ExportFormat.CSV, ExportFormat.JSONL}
CANCELLABLE = ("pending", "running", "cancelled")  # statuses of `public.crawl_jobs`; once more is harmless
UNFINISHED_RUNS = frozenset({RunState.PENDING, RunState.RUNNING, RunState.DEFERRED})
UNBEGUN_ATTEMPTS = frozenset({AttemptState.DISPATCHING, AttemptState.DISPATCHED})
ACTIVE_ATTEMPTS = UNBEGUN_ATTEMPTS | {AttemptState.RUNNING}

KEPT = "kept"


class Reason(StrEnum):
    """Why a candidate was not kept: exactly one each, the names of the funnel."""

    DUPLICATE_URL = "duplicate_url"  # another run of the job met it
    DUPLICATE_BYTES = "duplicate_bytes"
    NEAR_DUPLICATE = "near_duplicate"
    REPLACED = "replaced"  # it was kept until a better copy came
    TOO_SMALL = "too_small"
    ASPECT = "aspect"
    NOT_AN_IMAGE = "not_an_image"
    DAMAGED = "damaged"
    BOMB = "bomb"  # more pixels or frames than a picture needs
    TOO_LARGE = "too_large"  # more bytes than allowed
    FORMAT = "format"  # an image, and of no format the job wants
    ANIMATED = "animated"
    TRAILING_DATA = "trailing_data"  # more in the file than the image
    BLANK = "blank"
    DARK = "dark"
    BRIGHT = "bright"
    BLURRED = "blurred"
    PLACEHOLDER = "placeholder"  # says that there is no image
    LICENCE = "licence"  # not one the job may use
    FILTER = "filter"  # not of the size or aspect the job wants
    ROBOTS = "robots"  # robots.txt of its host
    TDMREP = "tdmrep"  # /.well-known/tdmrep.json of its host
    AI_TXT = "ai_txt"  # ai.txt of its host
    X_ROBOTS_TAG = "x_robots_tag"  # the answer's header
    TDM_RESERVATION = "tdm_reservation"  # the answer's header
    DATA_MINING = "data_mining"  # the file's own property
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
    PAUSED = "paused"  # its host asked for a pause
    WITHDRAWN = "withdrawn"  # was taken back, by whoever may


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
        Reason.PAUSED,
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
    def from_json(cls, value: Mapping[str, Any]) -> Funnel:
        """What `to_json` made."""
        return cls({KEPT: value["kept"], **value["reasons"]})

    @classmethod
    def total(cls, funnels: Iterable[Funnel]) -> Funnel:
        """The sum of several."""
        counts: Counter[str] = Counter()
        for funnel in funnels:
            counts.update(funnel.counts)
        return cls(counts)

    @classmethod
    def of(cls, decisions: Iterable[tuple[str | None, int]]) -> Funnel:
        """From the rows of `GROUP BY decision`."""
        return cls({decision or "open": n for decision, n in decisions})


MAX_KEYWORDS = 50  # a job with more is many jobs
KEYWORD_LENGTH = range(2, 101)  # characters, as the front end allows
MAX_IMAGES = 1_000_000  # more is a typing error
RUN_IMAGES = range(20, 501)  # fewer are not worth a process, more lose too much with it


def parse_keywords(value: object) -> list[str]:
    """The keywords of a job, from a list or `{"keywords": list}`. Raises `UsageError` saying what is wrong."""
    if isinstance(value, Mapping) and set(value) == {"keywords"}:
        value = value["keywords"]
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise UsageError("keywords: expected a list of texts")
    words = [" ".join(word.split()) for word in value]
    if not 1 <= len(words) <= MAX_KEYWORDS:
        raise UsageError(f"keywords: expected 1 to {MAX_KEYWORDS}, got {len(words)}")
    for word in words:
        if len(word) not in KEYWORD_LENGTH or not word.isprintable():
            raise UsageError(f"keywords: {word[:40]!r} is not a text of 2 to 100 printable characters")
    if len({word.casefold() for word in words}) < len(words):
        raise UsageError("keywords: the same one twice")
    return words


def parse_max_images(value: object) -> int:
    """The number of images asked for. Raises `UsageError`."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_IMAGES:
        raise UsageError(f"max_images: expected a number from 1 to {MAX_IMAGES:,}, got {value!r}")
    return value


def parse_formats(value: object) -> list[ExportFormat]:
    """The formats of a job's dataset, each once. Raises `UsageError`."""
    known = [kind.value for kind in ExportFormat]
    if not isinstance(value, list) or not value:
        raise UsageError(f"formats: expected a list of {', '.join(known)}")
    for name in value:
        if name not in known:
            raise UsageError(f"formats: there is no format {str(name)[:40]!r}; known are {', '.join(known)}")
    return [ExportFormat(name) for name in dict.fromkeys(value)]


def tier_of(kind: ExportFormat) -> Tier:
    """Where files of a format lie: what is packed to be kept, away from what is downloaded every day."""
    return Tier.WARM if kind is ExportFormat.SEVEN_ZIP else Tier.HOT


def kind_in(tier: Tier) -> ExportFormat:
    """As what a dataset moves to a tier."""
    return ExportFormat.SEVEN_ZIP if tier is Tier.WARM else ExportFormat.ZIP


@dataclass(frozen=True, slots=True)
class Pair:
    """What a job knows of one (source, keyword)."""

    source: str
    keyword: str
    kept: int = 0
    outstanding: int = 0  # images an unfinished run still wants to keep
    busy: bool = False  # in an unfinished run: its cursor moves, nobody else may have it
    spent: bool = False  # nothing more to expect: it said so, or its run failed


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A run to create: one source, and how many images of which keywords."""

    source: str
    quotas: Mapping[str, int]


def plan(asked: int, pairs: Sequence[Pair]) -> list[PlannedRun]:
    """The runs to start now, so that kept + outstanding + planned never exceed what was asked.

    Divides evenly over keywords, then over their sources, of no more than bring each a run's worth; what spent ones
    cannot bring is asked of the others. A keyword whose sources are all busy waits for them. Nothing planned and
    nothing busy means: the job is over.
    """
    quotas: dict[str, dict[str, int]] = {}
    wanted_by_keyword = _wanted_by_keyword(asked, pairs)
    worthwhile = max(1, sum(wanted_by_keyword.values()) // RUN_IMAGES[0])  # sources
    for keyword, wanted in wanted_by_keyword.items():
        idle = [pair for pair in pairs if pair.keyword == keyword and not pair.busy and not pair.spent]
        idle = sorted(idle, key=lambda pair: pair.kept)[:worthwhile]
        for pair, share in zip(idle, fill([pair.kept for pair in idle], wanted), strict=True):
            if share:
                quotas.setdefault(pair.source, {})[keyword] = min(share, RUN_IMAGES[-1])
    return [PlannedRun(source, group) for source, shares in quotas.items() for group in _groups(shares)]


def _wanted_by_keyword(asked: int, pairs: Sequence[Pair]) -> dict[str, int]:
    promised: dict[str, int] = {}
    for pair in pairs:
        promised[pair.keyword] = promised.get(pair.keyword, 0) + pair.kept + pair.outstanding
    alive = [word for word in promised if any(p.keyword == word and (p.busy or not p.spent) for p in pairs)]
    missing = max(0, asked - sum(promised.values()))
    return dict(zip(alive, fill([promised[word] for word in alive], missing), strict=True))


def fill(levels: Sequence[int], amount: int) -> list[int]:
    """How much each vessel gets when `amount` is poured so that the lowest rise first. Sums to `amount`."""
    if not levels:
        return []
    low, high = min(levels), max(levels) + amount + 1
    while high - low > 1:  # the highest level that `amount` pays for
        middle = (low + high) // 2
        if sum(max(0, middle - level) for level in levels) <= amount:
            low = middle
        else:
            high = middle
    added = [max(0, low - level) for level in levels]
    rest = amount - sum(added)
    for index, level in enumerate(levels):
        if rest and level <= low:
            added[index] += 1
            rest -= 1
    return added


def _groups(quotas: Mapping[str, int]) -> list[dict[str, int]]:
    total = sum(quotas.values())
    size = -(-total // -(-total // RUN_IMAGES[-1]))  # as many runs as needed, of even size
    groups: list[dict[str, int]] = [{}]
    for keyword, quota in quotas.items():
        filled = sum(groups[-1].values())
        if filled and (filled + quota > RUN_IMAGES[-1] or (filled >= size and filled >= RUN_IMAGES[0])):
            groups.append({})
        groups[-1][keyword] = quota
    return groups


TAIL = 300  # candidates after which a keyword is judged


def hardly_any_kept(tail: Collection[bool]) -> bool:
    """Whether a keyword is barren: its last 300 candidates, kept or not, are fewer than 1 % kept."""
    return len(tail) == TAIL and sum(tail) < TAIL / 100


def candidate_limit(asked: Any) -> Any:
    """Candidates after which a job ends short: nobody finds what is so rare. Of a number, or of a column."""
    return 50 * asked + 2_000
