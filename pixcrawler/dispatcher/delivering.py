"""Schedule: runs that are due go to nodes with free slots, which the database counts."""

from __future__ import annotations

import logging
import time
from collections import Counter

from sqlalchemy.ext.asyncio import AsyncEngine

from pixcrawler.config import Config
from pixcrawler.db import attempts, jobs, runs
from pixcrawler.db.engine import transaction
from pixcrawler.dispatcher.scrapyd import Scrapyd
from pixcrawler.errors import NodeDown, NodeRefused, NodeUnavailable
from pixcrawler.jobs import AttemptState, JobState, RunState

logger = logging.getLogger(__name__)

REST_SECONDS = 2.0  # a node that failed is left alone at first; doubles to the longest
LONGEST_REST_SECONDS = 30.0


class Deliverer:
    """Sends attempts to nodes, the one with most free slots first."""

    def __init__(self, engine: AsyncEngine, config: Config, nodes: list[Scrapyd]) -> None:
        self._engine = engine
        self._config = config
        self._nodes = nodes
        self._rest: dict[str, tuple[float, float]] = {}  # node → until when, how long the next time

    async def deliver(self) -> None:
        """Starts attempts while runs are due and slots are free."""
        async with transaction(self._engine) as connection:
            taken = Counter(row.node for row in await attempts.active(connection))
            free = {n: n.node.slots - taken[n.node.name] for n in self._nodes if self._rested(n)}
            due = await runs.due(connection, max(0, sum(n for n in free.values() if n > 0)))
        for row in due:
            node = max(free, key=lambda n: free[n], default=None)
            if node is None or free[node] <= 0 or not self._rested(node):
                return
            if await self._attempt(node, row.job, row.run):
                free[node] -= 1

    async def repeat(self, node: Scrapyd, run: int, attempt: int, spider: str) -> None:
        """Posts an attempt once more of which its node knows nothing."""
        await self._post(node, run, attempt, spider)

    async def _attempt(self, node: Scrapyd, job_id: int, run_id: int) -> bool:
        async with transaction(self._engine) as connection:
            await jobs.lock_name(connection, f"node:{node.node.name}")
            job = await jobs.lock(connection, job_id)
            run = await runs.lock(connection, run_id)
            active = [row for row in await attempts.active(connection) if row.node == node.node.name]
            due = run.state in (RunState.PENDING, RunState.DEFERRED)
            if job is None or job.state != JobState.CRAWLING or not due or len(active) >= node.node.slots:
                return False
            number = await attempts.create(
                connection, job=job_id, run=run_id, node=node.node.name, lease_seconds=self._config.dispatch_seconds
            )
            await runs.attend(connection, run_id)
        await self._post(node, run_id, number, run.source)
        return True

    async def _post(self, node: Scrapyd, run: int, attempt: int, spider: str) -> None:
        name = f"{run}-{attempt}"
        try:
            await node.schedule(spider, name)
        except NodeDown as error:
            await self._undelivered(node, run, attempt, AttemptState.UNDELIVERED, str(error))
        except NodeRefused as error:
            await self._undelivered(node, run, attempt, AttemptState.FAILED, str(error))
        except NodeUnavailable as error:
            self._tire(node, str(error))  # whether it started is not known: it is asked when the lease is over
        else:
            self._rest.pop(node.node.name, None)
            async with transaction(self._engine) as connection:
                await attempts.delivered(
                    connection,
                    run,
                    attempt,
                    log=node.log(spider, name),
                    lease_seconds=self._config.dispatch_seconds,
                )

    async def _undelivered(self, node: Scrapyd, run: int, attempt: int, state: AttemptState, reason: str) -> None:
        self._tire(node, reason)
        async with transaction(self._engine) as connection:
            await attempts.end(connection, run, attempt, state, reason)

    def _rested(self, node: Scrapyd) -> bool:
        return self._rest.get(node.node.name, (0.0, 0.0))[0] <= time.monotonic()

    def _tire(self, node: Scrapyd, reason: str) -> None:
        _, seconds = self._rest.get(node.node.name, (0.0, REST_SECONDS))
        logger.warning("%s; asking again in %.0f s", reason, seconds)
        self._rest[node.node.name] = (time.monotonic() + seconds, min(2 * seconds, LONGEST_REST_SECONDS))
