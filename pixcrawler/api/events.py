"""How far jobs are, as server-sent events.

One question a second asks for all jobs that anybody listens to, and whoever listens gets what has changed. An event
tells all there is to know of a job, so that its id can be made of that: who comes back with the id of what is still
true, to this process or another, has missed nothing and is told nothing; who missed something is told what is true
now. The last event of a job is `ended`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import asdict
from typing import NamedTuple
from uuid import UUID

from fastapi.sse import format_sse_event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from pixcrawler.api.gate import Caller
from pixcrawler.api.problems import Code, Refused
from pixcrawler.db import api_keys, overview
from pixcrawler.db.engine import transaction
from pixcrawler.db.overview import Progress
from pixcrawler.errors import DatabaseUnavailable

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0  # the dispatcher does not tell more often
HEARTBEAT_SECONDS = 15.0  # proxies end what is silent for a minute or less
STREAMS = 1000  # at once, of one process; each is a connection and a few kilobytes
HEARTBEAT = b": here\n\n"


class Events:
    """All streams of this process."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._streams: set[_Stream] = set()
        self._poller: asyncio.Task[None] | None = None
        self._closed = False

    def open(self, job: Progress, caller: Caller, last_id: str | None) -> AsyncIterator[bytes]:
        """What happens to a job from now on. Raises `Refused` if too many listen."""
        if self._closed or len(self._streams) >= STREAMS:
            raise Refused(Code.UNAVAILABLE, "too many streams are open here", headers={"Retry-After": "10"})
        return self._listen(_Stream(job.id, say(job), caller, last_id))

    async def _listen(self, stream: _Stream) -> AsyncIterator[bytes]:
        self._streams.add(stream)
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        try:
            while (said := await stream.next()) is not None:
                yield said
        finally:
            self._streams.discard(stream)

    async def _poll(self) -> None:
        while self._streams:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self._tell()
            except (DatabaseUnavailable, DBAPIError) as error:
                logger.warning("nobody can be told how far jobs are: %s", str(error).partition("\n")[0])

    async def _tell(self) -> None:
        streams = list(self._streams)
        async with transaction(self._engine) as connection:
            seen = await overview.progress(connection, {stream.job for stream in streams})
            usable = await api_keys.usable(connection, {key for stream in streams if (key := stream.caller.key)})
        said = {job: say(progress) for job, progress in seen.items()}  # once, however many listen
        for stream in streams:
            stream.tell(said.get(stream.job), usable)

    async def close(self) -> None:
        """Ends all streams; those who listened come again, to somebody else."""
        self._closed = True
        for stream in self._streams:
            stream.end()
        if self._poller:
            self._poller.cancel()
            with suppress(asyncio.CancelledError):
                await self._poller


class Said(NamedTuple):
    """What is told of a job."""

    id: str  # the same for the same news, whoever tells it
    event: bytes
    over: bool


class _Stream:
    """One listener. Who is slow misses what was said in between, and hears what is true."""

    def __init__(self, job: int, now: Said, caller: Caller, last_id: str | None) -> None:
        self.job = job
        self.caller = caller
        self._last_id = last_id
        self._waiting: Said | None = now
        self._over = False
        self._news = asyncio.Event()
        self._news.set()

    def tell(self, now: Said | None, usable: set[UUID]) -> None:
        """What is true of the job now; None: it is not there any more."""
        expired = self.caller.until is not None and self.caller.until < time.time()
        if now is None or expired or (self.caller.key and self.caller.key not in usable):
            self.end()
        elif now.id != self._last_id:
            self._waiting = now
            self._news.set()

    def end(self) -> None:
        self._over = True
        self._news.set()

    async def next(self) -> bytes | None:
        """What to send next; None: nothing any more."""
        while not self._over:
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await self._news.wait()
            except TimeoutError:
                return HEARTBEAT
            self._news.clear()
            now, self._waiting = self._waiting, None
            if now is None or now.id == self._last_id:
                continue
            self._last_id = now.id
            self._over = now.over
            return now.event
        return None


def say(seen: Progress) -> Said:
    """How far a job is, as an event."""
    data = json.dumps(asdict(seen))
    number = hashlib.sha256(data.encode()).hexdigest()[:16]
    event = format_sse_event(data_str=data, event="ended" if seen.over else "progress", id=number)
    return Said(number, event, seen.over)
