"""The dispatcher: brings every job one step on at each tick, and every step is safe to repeat.

A job is pending, then crawling, then exporting, then completed; or failed; or cancelling, then cancelled.

tick    claim pending rows
        heed what owners have cancelled
        watch attempts: leases, processes that are gone, cancelled ones; settle the runs they leave
        plan jobs of which a run ended, or that have met too many candidates
        deliver runs that are due to nodes with free slots
        end jobs whose runs have all ended
        project the truth into the front end's rows, over whatever their owners have written there

All state is in the database: any number of dispatchers may run, and any may die at any point.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from pixcrawler import faults
from pixcrawler.config import Config
from pixcrawler.db import check, crawl_jobs, engine, timing
from pixcrawler.db.patience import repeat
from pixcrawler.dispatcher.claiming import claim_pending
from pixcrawler.dispatcher.delivering import Deliverer
from pixcrawler.dispatcher.ending import Ender, heed_wishes
from pixcrawler.dispatcher.nodes import Nodes
from pixcrawler.dispatcher.planning import plan_jobs, plan_overflowing
from pixcrawler.dispatcher.watching import Watcher
from pixcrawler.terms import Catalogue

logger = logging.getLogger(__name__)

CONNECTIONS = 3  # the tick needs one, and conversations with nodes book what comes of them
LOCK_SECONDS = 1.0  # a process that froze in a transaction keeps its own job waiting; the others are not to
RARELY_SECONDS = 10.0  # what looks at every candidate of every job at work, or at every job there was


class Dispatcher:
    """One tick after the other until told to stop."""

    def __init__(self, url: str, config: Config, catalogue: Catalogue) -> None:
        self._config = config
        self._catalogue = catalogue
        self._engine = engine.create(
            url, application_name="pixcrawler dispatcher", pool_size=CONNECTIONS, lock_seconds=LOCK_SECONDS
        )
        self.timings = timing.measure(self._engine)
        self._nodes = Nodes(config)
        self._deliverer = Deliverer(self._engine, config, self._nodes, limits(config, catalogue))
        self._watcher = Watcher(self._engine, config, self._nodes, self._deliverer)
        self._ender = Ender(self._engine, config.channels)
        self._watch = _Every(config.projection_seconds, self._watcher.watch)
        self._project = _Every(config.projection_seconds, self._project_all)
        self._plan_overflowing = _Every(RARELY_SECONDS, lambda: plan_overflowing(self._engine))
        self._restore = _Every(RARELY_SECONDS, self._restore_all)

    async def require_schema(self) -> None:
        """Raises `SchemaMismatch` for a database we cannot serve."""
        async with engine.transaction(self._engine) as connection:
            await check.require(connection)

    async def tick(self) -> bool:
        """Brings everything one step on. False: that is all for now."""
        await claim_pending(self._engine, self._config, self._catalogue)
        await heed_wishes(self._engine)
        await self._watch()
        await plan_jobs(self._engine)
        await self._plan_overflowing()
        await self._deliverer.deliver()
        await self._ender.end_jobs()
        await self._project()
        await self._restore()
        return False

    async def close(self) -> None:
        """Ends what was begun with the nodes, and closes all connections."""
        await self._nodes.close()
        await self._engine.dispose()

    async def _project_all(self) -> None:
        async with engine.transaction(self._engine) as connection:
            await crawl_jobs.project_all(connection)
        faults.reach("dispatcher.projected")

    async def _restore_all(self) -> None:
        async with engine.transaction(self._engine) as connection:
            await crawl_jobs.restore(connection)


def limits(config: Config, catalogue: Catalogue) -> dict[str, int]:
    """How many runs of a source may be at work at once: what the operator says, else what the source itself bears.

    An operator's own address of a source bears as many as there are.
    """
    bearable = {source.name: source.at_once for source in catalogue.values() if not config.base_url(source.name)}
    return {name: runs for name, runs in bearable.items() if runs} | config.runs_by_source


class _Every:
    """Calls something at most once in a number of seconds."""

    def __init__(self, seconds: float, what: Callable[[], Awaitable[None]]) -> None:
        self._seconds = seconds
        self._what = what
        self._next = 0.0

    async def __call__(self) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self._seconds
            await self._what()


async def run(url: str, config: Config, stop: asyncio.Event, *, catalogue: Catalogue) -> None:
    """Dispatches until `stop` is set. A database that goes away is waited for; at start it must be there."""
    dispatcher = Dispatcher(url, config, catalogue)
    try:
        await dispatcher.require_schema()
        logger.info("dispatching to %s", ", ".join(node.name for node in config.nodes))
        await repeat(dispatcher.tick, stop, config.poll_seconds)
        logger.info("database: %s", dispatcher.timings)
    finally:
        await dispatcher.close()
