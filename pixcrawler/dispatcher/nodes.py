"""The nodes, and how far each can be trusted at the moment. A conversation with one never waits for another."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.config import Config
from pixcrawler.db import attempts
from pixcrawler.db.patience import is_passing
from pixcrawler.dispatcher.scrapyd import Scrapyd
from pixcrawler.errors import DatabaseUnavailable, NodeRefused, NodeUnavailable
from pixcrawler.metrics import NODE_ANSWERS

logger = logging.getLogger(__name__)

REST_SECONDS = 2.0  # a node that failed is left alone at first; doubles to the longest
LONGEST_REST_SECONDS = 30.0
REFUSED_REST_SECONDS = 60.0  # one that says no is set up wrong, which takes a person to mend
GLANCE_SECONDS = 0.2  # what a good node answers in; the tick waits no longer for any


@dataclass(slots=True)
class Conduct:
    """How a node has behaved."""

    rested_at: float = 0.0  # by the monotonic clock
    rest_seconds: float = field(default_factory=lambda: REST_SECONDS)  # of the next rest
    out: bool = False  # gets nothing until it answers again
    doubted: bool = False  # gets one attempt, until one has begun there
    trial: tuple[int, int] | None = None  # that attempt


class Nodes:
    """Which nodes may be given work. After a failure: rest, then knock, then one attempt on trial."""

    def __init__(self, config: Config) -> None:
        self._nodes = {node.name: Scrapyd(node) for node in config.nodes}
        self._conduct = {name: Conduct() for name in self._nodes}
        self._talks: dict[str, asyncio.Task[None]] = {}

    def get(self, name: str) -> Scrapyd | None:
        """The node of this name, unless it was taken out of the configuration."""
        return self._nodes.get(name)

    def answers(self, name: str) -> bool:
        """Whether it makes sense to ask this node anything."""
        return name in self._nodes and not self._conduct[name].out

    def free(self, taken: Mapping[str, int]) -> dict[str, int]:
        """How many attempts each node may be given, when `taken` are active on it."""
        return {name: self._room(name, taken.get(name, 0)) for name in self._nodes if self.answers(name)}

    def _room(self, name: str, taken: int) -> int:
        conduct = self._conduct[name]
        room = self._nodes[name].node.slots - taken
        return min(room, conduct.trial is None) if conduct.doubted else room

    def given(self, name: str, attempt: tuple[int, int]) -> None:
        """Remembers the attempt that a doubted node is tried with."""
        if self._conduct[name].doubted:
            self._conduct[name].trial = attempt

    def failed(
        self, name: str, reason: str, least_seconds: float = 0.0, unknown: tuple[int, int] | None = None
    ) -> None:
        """Takes a node out, longer each time. `unknown` is an attempt that may begin there all the same."""
        if not self.answers(name):
            return
        conduct = self._conduct[name]
        conduct.trial = unknown or conduct.trial
        seconds = max(least_seconds, conduct.rest_seconds)
        logger.warning("%s; it gets no work for %.0f s", reason, seconds)
        conduct.rested_at = time.monotonic() + seconds
        conduct.rest_seconds = min(2 * conduct.rest_seconds, LONGEST_REST_SECONDS)
        conduct.out = conduct.doubted = True

    async def judge(self, connection: AsyncConnection) -> None:
        """Trusts the nodes again on which the attempt on trial has begun; knocks at those that have rested."""
        for name, conduct in self._conduct.items():
            NODE_ANSWERS.labels(name).set(self.answers(name))
            if conduct.trial is not None:
                attempt = await attempts.get(connection, *conduct.trial)
                if attempt is not None and attempt.started_at is not None:
                    logger.info("Scrapyd at %s works again", name)
                    self._conduct[name] = Conduct()
                    continue
                if attempt is None or attempt.ended_at is not None:
                    conduct.trial = None
            if conduct.out and time.monotonic() >= conduct.rested_at:
                self.talk(f"knock {name}", self._knock(name))

    async def _knock(self, name: str) -> None:
        conduct = self._conduct[name]
        try:
            await self._nodes[name].knock()
        except (NodeUnavailable, NodeRefused) as error:
            conduct.out = False
            self.failed(name, str(error))
        else:
            conduct.out = False

    def talk(self, about: str, conversation: Coroutine[Any, Any, None]) -> None:
        """Goes on with a conversation beside everything else, unless the same one is under way."""
        if about in self._talks:
            conversation.close()
            return
        task = asyncio.create_task(_calmly(about, conversation))
        self._talks[about] = task
        task.add_done_callback(lambda _: self._talks.pop(about))

    async def hear(self, seconds: float = GLANCE_SECONDS) -> None:
        """Waits a moment for conversations to end: with good nodes, all do."""
        if self._talks:
            await asyncio.wait(self._talks.values(), timeout=seconds)

    async def close(self) -> None:
        """Ends all conversations in order, and the connections."""
        while self._talks:
            await asyncio.wait(list(self._talks.values()))
        for node in self._nodes.values():
            await node.close()


async def _calmly(about: str, conversation: Coroutine[Any, Any, None]) -> None:
    try:
        await conversation
    except DatabaseUnavailable:
        pass  # the tick waits for it, and says so
    except DBAPIError as error:
        if not is_passing(error):
            logger.exception("%s failed", about)
    except Exception:
        logger.exception("%s failed", about)


def emptiest(free: Mapping[str, int]) -> str | None:
    """The node with most free slots; None: all are taken."""
    best = max(free, key=lambda name: free[name], default=None)
    return best if best is not None and free[best] > 0 else None
