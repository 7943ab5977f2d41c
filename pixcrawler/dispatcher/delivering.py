"""Schedule: runs that are due go to nodes with free slots, which the database counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from pixcrawler import faults
from pixcrawler.config import Config
from pixcrawler.db import attempts, jobs, locks, runs
from pixcrawler.db.engine import transaction
from pixcrawler.db.patience import is_passing
from pixcrawler.dispatcher.nodes import REFUSED_REST_SECONDS, Nodes, emptiest
from pixcrawler.errors import NodeDown, NodeRefused, NodeUnavailable
from pixcrawler.jobs import UNBEGUN_ATTEMPTS, AttemptState, JobState, RunState


class Deliverer:
    """Sends attempts to nodes, to the one with most free slots first."""

    def __init__(self, engine: AsyncEngine, config: Config, nodes: Nodes, limits: Mapping[str, int]) -> None:
        self._engine = engine
        self._config = config
        self._nodes = nodes
        self._limits = limits  # of runs at once, by source

    async def deliver(self) -> None:
        """Starts attempts while runs are due and slots are free."""
        async with transaction(self._engine) as connection:
            await self._nodes.judge(connection)
            taken = Counter(attempt.node for attempt in await attempts.active(connection))
            free = self._nodes.free(taken)
            due = await runs.due(connection, sum(n for n in free.values() if n > 0), self._limits)
        for row in due:
            name = emptiest(free)
            if name is None:
                break
            number = await self._book_patiently(name, row)
            if number is not None:
                free[name] -= 1
                self._nodes.given(name, (row.run, number))
                self.post(name, row.run, number, row.source)
        await self._nodes.hear()

    async def _book_patiently(self, name: str, due: Any) -> int | None:
        try:
            return await self._book(name, due)
        except DBAPIError as error:
            if not is_passing(error):
                raise
            return None  # at the next tick

    async def _book(self, name: str, due: Any) -> int | None:
        """Books an attempt, if it still has a place. The advisory locks keep other dispatchers from the same place."""
        node = self._nodes.get(name)
        limit = self._limits.get(due.source)
        assert node is not None
        async with transaction(self._engine) as connection:
            await locks.take(connection, f"node:{name}")
            if limit is not None:
                await locks.take(connection, f"source:{due.source}")
            job = await jobs.lock(connection, due.job)
            run = await runs.lock(connection, due.run)
            if job is None or job.state != JobState.CRAWLING or run.state not in (RunState.PENDING, RunState.DEFERRED):
                return None
            active = [attempt for attempt in await attempts.active(connection) if attempt.node == name]
            if len(active) >= node.node.slots:
                return None
            if limit is not None and await runs.at_work(connection, due.source) >= limit:
                return None
            number = await attempts.create(
                connection, job=due.job, run=due.run, node=name, lease_seconds=self._config.dispatch_seconds
            )
            await runs.attend(connection, due.run)
        faults.reach("dispatcher.booked")
        return number

    def post(self, name: str, run: int, attempt: int, spider: str) -> None:
        """Asks a node to start a booked attempt, for the first time or once more."""
        self._nodes.talk(f"attempt {run}-{attempt}", self._post(name, run, attempt, spider))

    async def _post(self, name: str, run: int, attempt: int, spider: str) -> None:
        node = self._nodes.get(name)
        assert node is not None
        job = f"{run}-{attempt}"
        try:
            await node.schedule(spider, job)
            faults.reach("dispatcher.posted")
        except NodeDown as error:
            self._nodes.failed(name, str(error))
            await self._end(run, attempt, AttemptState.UNDELIVERED, str(error))
        except NodeRefused as error:
            self._nodes.failed(name, str(error), REFUSED_REST_SECONDS)
            await self._end(run, attempt, AttemptState.FAILED, str(error))
        except NodeUnavailable as error:
            self._nodes.failed(name, str(error), unknown=(run, attempt))  # the watcher finds out
        else:
            await self.delivered(name, run, attempt, spider)

    async def delivered(self, name: str, run: int, attempt: int, spider: str) -> None:
        """Books that a node has an attempt."""
        node = self._nodes.get(name)
        assert node is not None
        async with transaction(self._engine) as connection:
            log = node.log(spider, f"{run}-{attempt}")
            await attempts.delivered(connection, run, attempt, log=log, lease_seconds=self._config.dispatch_seconds)
        faults.reach("dispatcher.delivered")

    async def _end(self, run: int, attempt: int, state: AttemptState, reason: str) -> None:
        async with transaction(self._engine) as connection:
            await attempts.end(connection, run, attempt, state, reason, among=UNBEGUN_ATTEMPTS)
        faults.reach("dispatcher.ended")
