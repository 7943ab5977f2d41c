"""The book of a crawl: what was found, what became of it, and whether the crawl may go on.

Spiders and pipelines know only the `Ledger`. `db.ledger.PostgresLedger` keeps it when Scrapyd started the
process; `LocalLedger` does otherwise, in memory and in a manifest beside the images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pixcrawler.items import ImageItem
from pixcrawler.jobs import Outcome, Reason, Slice, Spent


@dataclass(slots=True)
class Run:
    """What a crawl process has to do."""

    name: str  # "<run>-<attempt>", or a folder name without a database
    slices: dict[str, Slice]  # keyword → share
    storage_prefix: str  # images go to <storage_prefix>/images/<aa>/<sha256>.<ext>
    options: dict[str, Any]  # of the job: "list" is the storage key of its URL list
    job: int | None = None
    trace: str | None = None  # of the job: all that is said about it anywhere carries it


@dataclass(frozen=True, slots=True)
class Pause:
    """For how long a host must not be asked."""

    seconds: float  # from now on
    reason: str  # what it said


class Ledger(Protocol):
    """Every method may raise `LeaseLost`: the crawl then stops at once and writes nothing more."""

    run: Run  # valid after `open` returned it

    async def open(self) -> Run | None:
        """Claims the attempt. None: it is not ours to run (already running, ended, or the job is cancelled)."""

    async def open_candidates(self) -> tuple[list[ImageItem], list[ImageItem]]:
        """Candidates an earlier attempt left undecided: (suspects that were in flight at its death, others)."""

    async def add_page(
        self, keyword: str, items: Sequence[ImageItem], cursor: Any, spent: Spent | None
    ) -> list[ImageItem]:
        """Books a page of results and moves the keyword's cursor past it, at once; returns what to download.

        Items met before in this run are left out silently; those of other runs of the job become `duplicate_url`.
        """

    async def mark_spent(self, keyword: str, spent: Spent) -> None:
        """Books that the keyword has no more to give."""

    async def begin(self, items: Sequence[ImageItem]) -> None:
        """Books that these are in flight from now on; before their first request."""

    async def duplicate_of(self, item: ImageItem) -> Reason | None:
        """DUPLICATE_BYTES or NEAR_DUPLICATE of a picture kept in the scope, as far as this process knows.

        WITHDRAWN if it is a copy of one that was taken back.

        None also for a copy that `keep` may keep in place of the other.
        """

    async def keep(self, item: ImageItem) -> Reason | None:
        """Asks to keep a stored picture. Returns after the decision is durable: None is kept, else why not."""

    def reject(self, item: ImageItem, reason: Reason, detail: str = "") -> None:
        """Books a rejection; durable before `close` returns."""

    def missing(self, keyword: str) -> int:
        """How many pictures the keyword still wants (a large number if it wants all)."""

    def barren(self, keyword: str) -> bool:
        """Whether the keyword's last 300 decided candidates kept fewer than 1 %."""

    def top_up(self) -> dict[str, list[ImageItem]]:
        """Raises quotas by what spent keywords cannot bring. Returns the keywords to go on with, each with the
        candidates to take up again that there was no room for. Empty: nothing to do."""

    @property
    def may_write(self) -> bool:
        """False as soon as the lease may be somebody else's: fetch and put nothing more. Cheap, synchronous."""

    async def beat(self) -> bool:
        """Renews the lease. False: the job wants no more (cancelled). Raises `LeaseLost` when it is over."""

    async def pause(self, host: str, pause: Pause) -> None:
        """Tells every crawl process that a host must not be asked; a longer pause stays. No `LeaseLost`."""

    async def paused_hosts(self) -> dict[str, Pause]:
        """The hosts that must not be asked, whoever was told. No `LeaseLost`."""

    async def close(self, outcome: Outcome) -> None:
        """Writes the outcome and closes the books: open candidates are decided as the outcome demands."""
