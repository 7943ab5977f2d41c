"""Whether everything that jobs need answers: database, storage, Scrapyd nodes, dispatchers and exporters."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine

from pixcrawler.config import Config, Node
from pixcrawler.db import sessions, sources
from pixcrawler.db.engine import transaction
from pixcrawler.errors import PixCrawlerError
from pixcrawler.storage import Storage

NODE_SECONDS = 2.0  # it asks the database, and a good one answers in hundredths


@dataclass(frozen=True, slots=True)
class Part:
    """One thing the API, or a job, needs."""

    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class NodePart(Part):
    """A Scrapyd node, and what it tells of itself if it answers."""

    slots: int  # that the dispatcher fills
    running: int | None = None
    waiting: int | None = None
    wedged: bool = False  # crawls wait although a slot is free
    disk_free: int | None = None  # bytes
    uptime: int | None = None  # seconds
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """How everything is."""

    status: str  # ok, degraded
    database: Part
    storage: Part
    nodes: dict[str, NodePart]  # by host:port
    dispatcher: Part
    exporter: Part
    sources: dict[str, str]  # by name: how its last check ended


async def look(engine: AsyncEngine, config: Config, storage: Storage, client: httpx.AsyncClient) -> Health:
    """Asks all of them at once; none that does not answer is an error."""
    database, kept, *nodes = await asyncio.gather(
        _database(engine), _storage(storage), *(_node(client, node) for node in config.nodes)
    )
    part, parts, checks = database
    dispatcher, exporter = _connected(parts, "dispatcher"), _connected(parts, "exporter")
    everything = (part, kept, dispatcher, exporter, *nodes)
    return Health(
        status="ok" if all(one.ok for one in everything) else "degraded",
        database=part,
        storage=kept,
        nodes={node.name: seen for node, seen in zip(config.nodes, nodes, strict=True)},
        dispatcher=dispatcher,
        exporter=exporter,
        sources={name: row.state for name, row in checks.items()},
    )


async def _database(engine: AsyncEngine) -> tuple[Part, dict[str, int], dict[str, Any]]:
    try:
        async with transaction(engine) as connection:
            began = time.perf_counter()
            parts = await sessions.parts(connection)
            took = (time.perf_counter() - began) * 1000
            return Part(ok=True, detail=f"answered in {took:.0f} ms"), parts, await sources.checks(connection)
    except PixCrawlerError:
        return Part(ok=False, detail="cannot be reached"), {}, {}


def _connected(parts: dict[str, int], name: str) -> Part:
    number = parts.get(name, 0)
    return Part(ok=number > 0, detail=f"{number} connections to the database")


async def _storage(storage: Storage) -> Part:
    try:
        await storage.exists("health")
    except PixCrawlerError as error:
        return Part(ok=False, detail=_silent(error))
    return Part(ok=True, detail="answers")


async def _node(client: httpx.AsyncClient, node: Node) -> NodePart:
    auth = httpx.BasicAuth(node.username, node.password.get_secret_value()) if node.username else None
    try:
        response = await client.get(f"{node.url}/health.json", auth=auth, timeout=NODE_SECONDS)
        if response.status_code not in (HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE):
            response.raise_for_status()
        return _told(node, response.json())
    except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
        return NodePart(ok=False, detail=_silent(error), slots=node.slots)


def _told(node: Node, said: dict[str, Any]) -> NodePart:
    slots = said["slots"]
    running, waiting = int(slots["running"]), slots["pending"]
    problems = "; ".join(map(str, said["problems"]))
    return NodePart(
        ok=not problems,
        detail=problems or f"{running} of {node.slots} slots at work",
        slots=node.slots,
        running=running,
        waiting=waiting,
        wedged=bool(waiting) and running < int(slots["max_proc"]),
        disk_free=int(said["disk_free"]),
        uptime=int(said["uptime"]),
        version=str(said["version"]),
    )


def _silent(error: Exception) -> str:
    return f"does not answer as it should ({type(error).__name__})"
