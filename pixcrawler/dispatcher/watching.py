"""Watch: attempts whose lease is over or whose process is gone, and the runs they leave behind."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pixcrawler import faults, logs
from pixcrawler.config import Config
from pixcrawler.db import attempts, jobs, runs
from pixcrawler.db.engine import transaction
from pixcrawler.db.ledger import finish_run
from pixcrawler.db.patience import is_passing
from pixcrawler.dispatcher.delivering import Deliverer
from pixcrawler.dispatcher.nodes import Nodes
from pixcrawler.dispatcher.steps import for_each
from pixcrawler.errors import NodeRefused, NodeUnavailable
from pixcrawler.jobs import ACTIVE_ATTEMPTS, UNBEGUN_ATTEMPTS, AttemptState, JobState, RunState

logger = logging.getLogger(__name__)

USELESS_ATTEMPTS = 3  # in a row, that ran and decided nothing
ALL_ATTEMPTS = 10
BEGINNING = 4  # times PIXCRAWLER_DISPATCH_SECONDS: a process may take as long to begin on a machine that is overloaded

SILENT = "silent"  # the node cannot be asked


class Watcher:
    """Looks after active attempts. Scrapyd is asked whether a process exists, never how it ended.

    An attempt may be ended here at any moment, whatever its process does: a process that begins after that finds out
    before its first fetch, and one that runs has let its lease end.
    """

    def __init__(self, engine: AsyncEngine, config: Config, nodes: Nodes, deliverer: Deliverer) -> None:
        self._engine = engine
        self._config = config
        self._nodes = nodes
        self._deliverer = deliverer
        self._repeated: set[tuple[int, int]] = set()

    async def watch(self) -> None:
        """Looks at every active attempt, node by node, then at the runs without one."""
        async with transaction(self._engine) as connection:
            active = await attempts.active(connection)
            crawling = set(await jobs.in_state(connection, JobState.CRAWLING))
        self._repeated &= {(attempt.run, attempt.attempt) for attempt in active}
        on_node = defaultdict(list)
        for attempt in active:
            on_node[attempt.node].append(attempt)
        for name, its in on_node.items():
            self._nodes.talk(f"watch {name}", self._watch_node(its, crawling))
        await self._nodes.hear()
        await self._settle_unattended()

    async def _watch_node(self, its: Sequence[Any], crawling: Collection[int]) -> None:
        for attempt in its:
            with logs.about(job=attempt.job, run=attempt.run, attempt=attempt.attempt):
                await self._watch_one(attempt, wanted=attempt.job in crawling)

    async def _watch_one(self, attempt: Any, *, wanted: bool) -> None:
        known, ending = await self._state(attempt)
        faults.reach("dispatcher.asked")
        try:
            await self._look(attempt, known, ending, wanted=wanted)
        except DBAPIError as error:
            if not is_passing(error):
                raise
            logger.info("attempt %s again: %s", _name(attempt), str(error).partition("\n")[0])

    async def _look(self, attempt: Any, known: str | None, ending: str, *, wanted: bool) -> None:
        if not wanted:
            await self._cancel(attempt, known)
        elif known == "finished":
            await self._end(attempt, AttemptState.LOST, f"the crawl process {ending} and left no outcome")
        elif attempt.state == AttemptState.RUNNING:
            await self._look_at_running(attempt)
        else:
            await self._look_at_sent(attempt, known)

    async def _look_at_running(self, attempt: Any) -> None:
        if attempt.lapsed:
            await self._end(attempt, AttemptState.LOST, "no sign of life from the crawl process", if_lapsed=True)
            await self._send(attempt, "KILL")  # should it hang, it must not hold its slot

    async def _look_at_sent(self, attempt: Any, known: str | None) -> None:
        """An attempt that has not begun. It is not looked into while it has time."""
        if not attempt.lapsed:
            return
        if known == "running" and attempt.age < BEGINNING * self._config.dispatch_seconds:
            await self._deliverer.delivered(attempt.node, attempt.run, attempt.attempt, attempt.source)
        elif known == "running":
            await self._send(attempt, "KILL")
            await self._end(attempt, AttemptState.LOST, "the crawl process did not begin", if_sent=True)
        elif known is None and attempt.state == AttemptState.DISPATCHING and self._not_repeated(attempt):
            self._deliverer.post(attempt.node, attempt.run, attempt.attempt, attempt.source)
        else:
            await self._take_away(attempt, known)

    def _not_repeated(self, attempt: Any) -> bool:
        key = (attempt.run, attempt.attempt)
        if key in self._repeated or not self._nodes.answers(attempt.node):
            return False
        self._repeated.add(key)
        return True

    async def _take_away(self, attempt: Any, known: str | None) -> None:
        """Gives up an attempt that its node had time enough to start; the run goes to another one."""
        reason = {
            "pending": "the node has a free slot and does not start it",
            SILENT: "the node does not answer",
            None: "the node knows nothing of it",
        }[known]
        if known != SILENT:
            await self._send(attempt, "INT")  # out of its queue
            self._nodes.failed(attempt.node, f"Scrapyd at {attempt.node} does not start {_name(attempt)}: {reason}")
        await self._end(attempt, AttemptState.UNDELIVERED, reason, if_sent=True)

    async def _cancel(self, attempt: Any, known: str | None) -> None:
        begun = attempt.state == AttemptState.RUNNING
        if not begun or known == "finished" or (attempt.lapsed and known in (None, SILENT)):
            await self._end(attempt, AttemptState.CANCELLED, "cancelled", if_sent=not begun)
        if known in ("pending", "running"):
            if attempt.cancel_sent_at is None:
                await self._send(attempt, "INT")
                faults.reach("dispatcher.cancelled")
                async with transaction(self._engine) as connection:
                    await attempts.cancel_sent(connection, attempt.run, attempt.attempt)
            elif attempt.cancel_age > self._config.cancel_seconds:
                await self._send(attempt, "KILL")

    async def _state(self, attempt: Any) -> tuple[str | None, str]:
        """What the node knows; `SILENT` when it cannot be asked; None for a node that is configured no more."""
        node = self._nodes.get(attempt.node)
        if node is None:
            return None, ""
        if not self._nodes.answers(attempt.node):
            return SILENT, ""
        try:
            return await node.state(_name(attempt))
        except (NodeUnavailable, NodeRefused) as error:
            self._nodes.failed(attempt.node, str(error))
            return SILENT, ""

    async def _send(self, attempt: Any, signal: str) -> None:
        node = self._nodes.get(attempt.node)
        if node is None or not self._nodes.answers(attempt.node):
            return
        try:
            await node.cancel(_name(attempt), signal)
        except (NodeUnavailable, NodeRefused) as error:
            self._nodes.failed(attempt.node, str(error))

    async def _end(
        self, attempt: Any, state: AttemptState, reason: str, *, if_lapsed: bool = False, if_sent: bool = False
    ) -> None:
        """Ends an attempt: only if its lease is still over, or only if it still has not begun."""
        key = (attempt.run, attempt.attempt)
        among = UNBEGUN_ATTEMPTS if if_sent else ACTIVE_ATTEMPTS
        async with transaction(self._engine) as connection:
            await jobs.share(connection, attempt.job)
            await runs.lock(connection, attempt.run)
            now = await attempts.lock(connection, *key)
            if now is None or (if_lapsed and not now.lapsed):  # a heartbeat has come in the meantime
                return
            if not await attempts.end(connection, *key, state, reason, among=among):
                return
        logger.warning("attempt %s: %s", _name(attempt), reason)
        faults.reach("dispatcher.ended")

    async def _settle_unattended(self) -> None:
        async with transaction(self._engine) as connection:
            unattended = await runs.unattended(connection)
        await for_each(self._engine, unattended, self._settle, "dispatcher.settled")

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


def _name(attempt: Any) -> str:
    return f"{attempt.run}-{attempt.attempt}"
