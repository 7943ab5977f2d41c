"""The ledger in PostgreSQL: what a crawl process started by Scrapyd may do, and what it did."""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pixcrawler import faults
from pixcrawler.config import Config
from pixcrawler.db import attempts, candidates, engine, hosts, jobs, keeping, runs, timing
from pixcrawler.db.batching import Batches
from pixcrawler.db.candidates import Decision
from pixcrawler.db.keeping import Claim, Decided, JobStopped
from pixcrawler.db.patience import persist
from pixcrawler.db.scopes import Original, Scope, Seen, name_of
from pixcrawler.db.takedowns import Withdrawn
from pixcrawler.duplicates import Wanted, mates
from pixcrawler.errors import LeaseLost, UsageError
from pixcrawler.items import ImageItem, Inspection
from pixcrawler.jobs import (
    KEPT,
    TAIL,
    UNBEGUN_ATTEMPTS,
    AttemptState,
    JobState,
    Outcome,
    Reason,
    RunState,
    Slice,
    Spent,
    hardly_any_kept,
)
from pixcrawler.ledger import Pause, Run
from pixcrawler.naming import keyword_slugs

T = TypeVar("T")

logger = logging.getLogger(__name__)

CONNECTIONS = 2  # one for the books, one for the heartbeat and the hosts' pauses
RESTED_SECONDS = 5.0  # a connection used so lately is there, or whoever wanted it tries again
PAUSE_SECONDS = 5.0  # for telling the others of a pause; later it is of little use

JOB_ROW_GONE = "23503"  # images refer to crawl_jobs, and the owner deleted the row

RUN_ENDS = {
    AttemptState.SUCCEEDED: RunState.SUCCEEDED,
    AttemptState.SHORT: RunState.SHORT,
    AttemptState.FAILED: RunState.FAILED,
    AttemptState.CANCELLED: RunState.CANCELLED,
}


class PostgresLedger:
    """Implements `ledger.Ledger` for the attempt that Scrapyd's job id `<run>-<attempt>` names."""

    run: Run

    def __init__(self, config: Config, job_id: str) -> None:
        run, attempt = job_id.split("-")
        if config.database_url is None:
            raise UsageError(f"DATABASE_URL is not set, and {job_id} is a run of a job")
        self._config = config
        self._name = job_id
        self._engine: AsyncEngine = engine.create(
            config.database_url.get_secret_value(),
            application_name=f"pixcrawler crawl {job_id}",
            pool_size=CONNECTIONS,
            rested_seconds=RESTED_SECONDS,
        )
        self._timings = timing.measure(self._engine)
        self._claim = Claim(0, int(run), int(attempt), 0, {})
        self._scope = Scope()
        self._withdrawn = Withdrawn()
        self._seen: dict[str, Seen] = {}  # what came of a look, by the key of a picture not decided yet
        self._kept: dict[str, int] = {}
        self._tails: dict[str, deque[bool]] = {}  # kept or not
        self._batches = Batches(self._decide)
        self._beaten_at = 0.0
        self._stopped = False
        self._lost = False

    # Beginning

    async def open(self) -> Run | None:
        """Claims the attempt; see `Ledger.open`."""
        sent = time.monotonic()
        run = await self._persist(self._open)
        faults.reach("crawl.opened")
        self._beaten_at = sent
        return run

    async def _open(self, connection: AsyncConnection) -> Run | None:
        key = (self._claim.run, self._claim.attempt)
        attempt = await attempts.get(connection, *key)
        job = await jobs.share(connection, attempt.job) if attempt else None
        if job is None or job.state != JobState.CRAWLING:
            return None
        run = await runs.lock(connection, self._claim.run)
        attempt = await attempts.lock(connection, *key)
        if attempt.state not in UNBEGUN_ATTEMPTS:
            return None
        await attempts.start(connection, *key, self._config.lease_seconds)
        self._claim = Claim(job.id, *key, job.generation, keyword_slugs(job.keywords), job.trace)
        wanted = Wanted.of(job.options)
        self._scope = Scope(name_of(wanted.extent, job), wanted)
        slices = runs.slices_from_json(run.slices)
        await self._remember(connection, slices)
        self.run = Run(self._name, slices, f"jobs/{job.id}", job.options, job.id, job.trace)
        return self.run

    async def _remember(self, connection: AsyncConnection, slices: dict[str, Slice]) -> None:
        kept = await candidates.kept_by_keyword(connection, self._claim.job)
        for keyword in slices:
            self._kept[keyword] = kept.get((self._claim.run, keyword), 0)
            decisions = await candidates.last_decisions(connection, self._claim.run, keyword, TAIL)
            self._tails[keyword] = deque((decision == KEPT for decision in decisions), TAIL)
        await self._scope.refresh(connection)
        await self._withdrawn.refresh(connection)

    async def open_candidates(self) -> tuple[list[ImageItem], list[ImageItem]]:
        """See `Ledger.open_candidates`. What was in flight at two deaths is `crashed` and not tried a third time."""
        rows = await self._persist(lambda connection: candidates.open_ones(connection, self._claim.run))
        items = {row.url_key: ImageItem.from_facts(row.item) for row in rows}
        for row in rows:
            if row.begun >= 2:
                self.reject(items[row.url_key], Reason.CRASHED, "in flight when two attempts died")
        wanted = self._not_withdrawn(items[row.url_key] for row in rows if row.begun < 2)
        suspects = {row.url_key for row in rows if row.begun}
        return [item for item in wanted if item.key in suspects], [item for item in wanted if item.key not in suspects]

    # Finding

    async def add_page(
        self, keyword: str, items: Sequence[ImageItem], cursor: Any, spent: Spent | None
    ) -> list[ImageItem]:
        """See `Ledger.add_page`."""

        async def book(connection: AsyncConnection) -> set[str]:
            await keeping.guard(connection, self._claim, write=True)
            new = await candidates.add(
                connection, run=self._claim.run, job=self._claim.job, keyword=keyword, items=items
            )
            await self._withdrawn.refresh(connection)
            await self._set_cursor(connection, keyword, cursor=cursor, spent=spent)
            return new

        nothing: set[str] = set()
        new = await self._guarded(book, nothing)
        faults.reach("crawl.paged")
        self.run.slices[keyword].cursor = cursor
        self.run.slices[keyword].spent = spent
        return self._not_withdrawn({item.key: item for item in items if item.key in new}.values())

    def _not_withdrawn(self, items: Iterable[ImageItem]) -> list[ImageItem]:
        """Those that may be fetched; the others are booked."""
        wanted = []
        for item in items:
            if self._withdrawn.names(item):
                self.reject(item, Reason.WITHDRAWN)
            else:
                wanted.append(item)
        return wanted

    async def mark_spent(self, keyword: str, spent: Spent) -> None:
        """See `Ledger.mark_spent`."""

        async def book(connection: AsyncConnection) -> None:
            await keeping.guard(connection, self._claim, write=True)
            await self._set_cursor(connection, keyword, spent=spent)

        await self._guarded(book, None)
        self.run.slices[keyword].spent = spent

    async def _set_cursor(self, connection: AsyncConnection, keyword: str, **changes: Any) -> None:
        await runs.set_cursor(connection, self._claim.run, keyword, json.dumps(changes))

    async def begin(self, items: Sequence[ImageItem]) -> None:
        """See `Ledger.begin`."""
        keys = [item.key for item in items]

        async def book(connection: AsyncConnection) -> None:
            await keeping.guard(connection, self._claim, write=False)
            await candidates.begin(connection, self._claim.run, keys)

        await self._guarded(book, None)
        faults.reach("crawl.begun")
        self._batches.begin(keys)

    # Deciding

    async def duplicate_of(self, item: ImageItem) -> Reason | None:
        """See `Ledger.duplicate_of`."""
        look = item.inspection
        assert look is not None
        if await self._original(self._withdrawn.scope, look):
            return Reason.WITHDRAWN
        mark = self._scope.index.mark
        original = await self._original(self._scope, look)
        self._seen[item.key] = Seen(mark, original)
        if original is None or keeping.improves(self._claim, item, original):
            return None
        return original.match.reason

    async def _original(self, scope: Scope, look: Inspection) -> Original | None:
        proposed = scope.propose(look)
        if not proposed.numbers:
            return None
        return await self._persist(lambda connection: scope.judge(connection, look, proposed))

    async def keep(self, item: ImageItem) -> Reason | None:
        """See `Ledger.keep`."""
        decision = await self._batches.keep(item)
        return None if decision == KEPT else Reason(decision)

    def reject(self, item: ImageItem, reason: Reason, detail: str = "") -> None:
        """See `Ledger.reject`."""
        detail = detail.replace("\0", "")[:500]  # enough for a person, nothing for a hostile server
        decision = Decision(item.key, reason, detail, item.received)
        original = self._seen.pop(item.key, Seen()).original
        if original is not None and reason is original.match.reason:
            decision = keeping.as_copy(decision, self._claim, item, original)
        self._batches.reject(item.keyword, decision)

    async def _decide(self, stored: Sequence[ImageItem], rejected: Sequence[tuple[str, Decision]]) -> dict[str, str]:
        room = {keyword: self.missing(keyword) for keyword in self.run.slices}
        refusals = [decision for _, decision in rejected]
        seen, copies = await self._look_again(stored), mates(self._scope.wanted, stored)
        nothing = Decided({})
        decided = await self._guarded(
            lambda connection: keeping.decide(
                connection, self._claim, self._scope, self._withdrawn, room, stored, refusals, seen, copies
            ),
            nothing,
        )
        faults.reach("crawl.decided")
        self._scope.take_in(decided.added)
        keywords = {item.key: item.keyword for item in stored} | {d.key: keyword for keyword, d in rejected}
        for key, decision in decided.decisions.items():
            self._tails[keywords[key]].append(decision == KEPT)
            self._kept[keywords[key]] += decision == KEPT
        for run, keyword in decided.vacated:
            if run == self._claim.run:
                self._kept[keyword] -= 1
        return decided.decisions

    async def _look_again(self, stored: Sequence[ImageItem]) -> dict[str, Seen]:
        """Looks at what others have kept in the scope since, before anybody has to wait for it."""
        seen = {item.key: self._seen.pop(item.key, Seen()) for item in stored}
        if not stored or self._stopped or self._scope.alone:
            return seen

        async def look(connection: AsyncConnection) -> dict[str, Seen]:
            await self._scope.refresh(connection)
            return await self._scope.look_again(connection, stored, seen)

        return await self._persist(look)

    def missing(self, keyword: str) -> int:
        """See `Ledger.missing`."""
        quota = self.run.slices[keyword].quota
        assert quota is not None
        return 0 if self._stopped else max(0, quota - self._kept[keyword])

    def barren(self, keyword: str) -> bool:
        """See `Ledger.barren`."""
        return hardly_any_kept(self._tails[keyword])

    def top_up(self) -> dict[str, list[ImageItem]]:
        """Nothing: the dispatcher plans."""
        return {}

    # Staying and leaving

    @property
    def may_write(self) -> bool:
        """See `Ledger.may_write`."""
        return not self._lost and time.monotonic() - self._beaten_at < self._config.fence_seconds

    async def beat(self) -> bool:
        """See `Ledger.beat`. The lease counts from before it was asked for."""
        sent = time.monotonic()
        async with engine.transaction(self._engine) as connection:
            ours = await attempts.renew(connection, self._claim.run, self._claim.attempt, self._config.lease_seconds)
            wanted = await jobs.wanted(connection, self._claim.job, self._claim.generation)
        if not ours:
            self._lost = True
            raise LeaseLost(f"attempt {self._name} is not ours any more")
        self._beaten_at = sent
        self._stopped = self._stopped or not wanted
        return wanted

    async def pause(self, host: str, pause: Pause) -> None:
        """See `Ledger.pause`. True whoever has the lease: not guarded."""
        await persist(self._engine, lambda connection: hosts.pause(connection, host, pause), PAUSE_SECONDS)

    async def paused_hosts(self) -> dict[str, Pause]:
        """See `Ledger.paused_hosts`."""
        async with engine.transaction(self._engine) as connection:
            return await hosts.paused(connection)

    async def close(self, outcome: Outcome) -> None:
        """See `Ledger.close`."""
        await self._batches.settle()
        faults.reach("crawl.closing")
        await self._persist(lambda connection: self._close(connection, outcome))
        faults.reach("crawl.closed")
        await self.dispose()

    async def dispose(self) -> None:
        """Closes the connections."""
        logger.info("database: %s", self._timings)
        await self._engine.dispose()

    async def _close(self, connection: AsyncConnection, outcome: Outcome) -> None:
        job = await jobs.lock(connection, self._claim.job)
        await runs.lock(connection, self._claim.run)
        wanted = job is not None and job.state == JobState.CRAWLING
        cut_short = not wanted and (self._stopped or outcome.state is AttemptState.LOST)
        state = AttemptState.CANCELLED if cut_short else outcome.state
        if not await attempts.end(connection, self._claim.run, self._claim.attempt, state, outcome.reason):
            raise LeaseLost(f"attempt {self._name} had ended before")
        if state is AttemptState.DEFERRED:
            await runs.wait(connection, self._claim.run, RunState.DEFERRED, outcome.later_seconds or 0)
        elif state in RUN_ENDS:
            await finish_run(connection, self._claim.run, RUN_ENDS[state], outcome.reason)
        if state in (AttemptState.DEFERRED, AttemptState.LOST):
            await candidates.acquit(connection, self._claim.run)

    # Transactions

    async def _guarded(self, book: Callable[[AsyncConnection], Awaitable[T]], otherwise: T) -> T:
        """`book` in a transaction; `otherwise` once the job has stopped."""
        if self._stopped:
            return otherwise
        try:
            return await self._persist(book)
        except JobStopped:
            pass
        except IntegrityError as error:
            if getattr(error.orig, "sqlstate", None) != JOB_ROW_GONE:
                raise
        self._stopped = True
        return otherwise

    async def _persist(self, book: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        try:
            return await persist(self._engine, book, self._config.fence_seconds)
        except LeaseLost:
            self._lost = True
            raise


async def finish_run(connection: AsyncConnection, run: int, state: RunState, reason: str) -> None:
    """Ends a run whose row is locked: what is open is decided, and the funnel closed."""
    await candidates.decide_open(connection, run, candidates.decided_by(state))
    await runs.finish(connection, run, state, reason, await candidates.funnel(connection, run))
