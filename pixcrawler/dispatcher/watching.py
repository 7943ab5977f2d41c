"""Watch: attempts whose lease is over or whose process is gone, and the runs they leave behind."""

from __future__ import annotations

import logging
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pixcrawler.config import Config
from pixcrawler.db import attempts, jobs, runs
from pixcrawler.db.engine import transaction
from pixcrawler.db.ledger import finish_run
from pixcrawler.dispatcher.delivering import Deliverer
from pixcrawler.dispatcher.scrapyd import Scrapyd
from pixcrawler.dispatcher.steps import for_each
from pixcrawler.errors import NodeRefused, NodeUnavailable
from pixcrawler.jobs import AttemptState, JobState, RunState

logger = logging.getLogger(__name__)

USELESS_ATTEMPTS = 3  # in a row, that ran and decided nothing
ALL_ATTEMPTS = 10


class Watcher:
    """Looks after active attempts. Scrapyd is asked whether a process exists, never how it ended."""

    def __init__(self, engine: AsyncEngine, config: Config, nodes: list[Scrapyd], deliverer: Deliverer) -> None:
        self._engine = engine
        self._config = config
        self._nodes = {node.node.name: node for node in nodes}
        self._deliverer = deliverer
        self._repeated: set[tuple[int, int]] = set()

    async def watch(self) -> None:
        """Looks at every active attempt once, then at the runs without one."""
        async with transaction(self._engine) as connection:
            active = await attempts.active(connection)
            crawling = set(await jobs.in_state(connection, JobState.CRAWLING))
        for attempt in active:
            if attempt.job in crawling:
                await self._look(attempt)
            else:
                await self._cancel(attempt)
        await self._settle_unattended()

    async def _look(self, attempt: Any) -> None:
        started = attempt.state == AttemptState.RUNNING
        known = await self._state(attempt)
        if started and attempt.lapsed:
            await self._end(attempt, AttemptState.LOST, "no sign of life from the crawl process", if_lapsed=True)
        elif known == "finished":
            await self._end(attempt, AttemptState.LOST, "the crawl process ended without an outcome")
        elif attempt.lapsed and known in ("pending", "running"):
            async with transaction(self._engine) as connection:
                await attempts.extend(connection, attempt.run, attempt.attempt, self._config.dispatch_seconds)
        elif attempt.lapsed and known is None:
            await self._undelivered(attempt)

    async def _undelivered(self, attempt: Any) -> None:
        key = (attempt.run, attempt.attempt)
        node = self._nodes.get(attempt.node)
        if attempt.state == AttemptState.DISPATCHING and node and key not in self._repeated:
            self._repeated.add(key)
            await self._deliverer.repeat(node, *key, attempt.source)
        else:
            await self._end(attempt, AttemptState.UNDELIVERED, "the node knows nothing of it")

    async def _cancel(self, attempt: Any) -> None:
        node = self._nodes.get(attempt.node)
        name = f"{attempt.run}-{attempt.attempt}"
        known = await self._state(attempt)
        if known == "finished" or (attempt.lapsed and known is None):
            await self._end(attempt, AttemptState.CANCELLED, "cancelled")
            return
        try:
            if node and attempt.cancel_sent_at is None:
                await node.cancel(name)
                async with transaction(self._engine) as connection:
                    await attempts.cancel_sent(connection, attempt.run, attempt.attempt)
            elif node and attempt.cancel_age > self._config.cancel_seconds:
                await node.cancel(name, "KILL")
        except (NodeUnavailable, NodeRefused) as error:
            logger.warning("%s", error)

    async def _state(self, attempt: Any) -> str | None:
        """What the node knows; "unknown" when it cannot be asked."""
        node = self._nodes.get(attempt.node)
        if node is None:
            return None
        try:
            return await node.state(f"{attempt.run}-{attempt.attempt}")
        except (NodeUnavailable, NodeRefused) as error:
            logger.warning("%s", error)
            return None if attempt.lapsed and attempt.state != AttemptState.DISPATCHING else "unknown"

    async def _end(self, attempt: Any, state: AttemptState, reason: str, *, if_lapsed: bool = False) -> None:
        async with transaction(self._engine) as connection:
            await jobs.share(connection, attempt.job)
            await runs.lock(connection, attempt.run)
            now = await attempts.lock(connection, attempt.run, attempt.attempt)
            # A heartbeat may have come in the meantime: then it lives.
            revived = if_lapsed and now is not None and not now.lapsed
            if not revived and await attempts.end(connection, attempt.run, attempt.attempt, state, reason):
                logger.warning("attempt %s-%s: %s", attempt.run, attempt.attempt, reason)

    async def _settle_unattended(self) -> None:
        async with transaction(self._engine) as connection:
            unattended = await runs.unattended(connection)
        await for_each(self._engine, unattended, self._settle)

    async def _settle(self, connection: AsyncConnection, unattended: Any) -> None:
        job = await jobs.lock(connection, unattended.job)
        run = await runs.lock(connection, unattended.run)
        active = await attempts.active(connection, unattended.job)
        if run.state != RunState.RUNNING or any(attempt.run == run.id for attempt in active):
            return
        if job is None or job.state != JobState.CRAWLING:
            await finish_run(connection, run.id, RunState.CANCELLED, "cancelled")
            return
        await self._try_again(connection, run.id)

    async def _try_again(self, connection: AsyncConnection, run: int) -> None:
        past = await attempts.ended(connection, run)
        ran = [attempt for attempt in past if attempt.state != AttemptState.UNDELIVERED]
        useless = next((n for n, attempt in enumerate(ran) if attempt.decided), len(ran))
        if useless >= USELESS_ATTEMPTS or len(ran) >= ALL_ATTEMPTS:
            await finish_run(connection, run, RunState.FAILED, f"{ran[0].reason} ({len(ran)} attempts)")
        elif past[0].state == AttemptState.UNDELIVERED:
            await runs.wait(connection, run, RunState.PENDING, 0)  # it is the node that rests
        else:
            seconds = self._config.retry_seconds * 2 ** max(0, useless - 1)
            await runs.wait(connection, run, RunState.PENDING, seconds)
