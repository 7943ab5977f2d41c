"""Whether the API lives, and whether everything behind it does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Any

import httpx
from fastapi import APIRouter
from pydantic import BaseModel

from pixcrawler.api.gate import Reader
from pixcrawler.api.problems import described
from pixcrawler.api.routes import ALWAYS, BEHIND_THE_GATE
from pixcrawler.api.state import Api, State
from pixcrawler.config import Node
from pixcrawler.db import sessions, sources
from pixcrawler.errors import PixCrawlerError

NODE_SECONDS = 2.0

routes = APIRouter(prefix="/api/v1/health", tags=["health"])


class Alive(BaseModel):
    """An answer is all there is to it."""

    status: str = "ok"


class Part(BaseModel):
    """One thing the API, or a job, needs."""

    ok: bool
    detail: str


class Health(BaseModel):
    """How everything is."""

    status: str  # ok, degraded
    database: Part
    storage: Part
    nodes: dict[str, Part]  # by host:port
    dispatcher: Part
    exporter: Part
    sources: dict[str, str]  # by name: how its last check ended


@routes.get("/", responses=described(*ALWAYS))
async def health() -> Alive:
    """Whether this process answers. Asks nobody else."""
    return Alive()


@routes.get("/detailed", responses=described(*BEHIND_THE_GATE))
async def detailed(api: Api, caller: Reader) -> Health:
    """Database, storage, Scrapyd nodes, dispatchers, exporters, and the last check of every source."""
    database, storage, *nodes = await asyncio.gather(
        _database(api), _part(_storage(api)), *(_part(_node(api.client, node)) for node in api.config.nodes)
    )
    part, parts, checks = database
    found = Health(
        status="ok",
        database=part,
        storage=storage,
        nodes={node.name: seen for node, seen in zip(api.config.nodes, nodes, strict=True)},
        dispatcher=_connected(parts, "dispatcher"),
        exporter=_connected(parts, "exporter"),
        sources={name: row.state for name, row in checks.items()},
    )
    everything = (part, storage, found.dispatcher, found.exporter, *nodes)
    return found if all(one.ok for one in everything) else found.model_copy(update={"status": "degraded"})


async def _database(api: State) -> tuple[Part, dict[str, int], dict[str, Any]]:
    try:
        async with api.transaction() as connection:
            began = time.perf_counter()
            parts = await sessions.parts(connection)
            took = (time.perf_counter() - began) * 1000
            return Part(ok=True, detail=f"answered in {took:.0f} ms"), parts, await sources.checks(connection)
    except PixCrawlerError:
        return Part(ok=False, detail="cannot be reached"), {}, {}


def _connected(parts: dict[str, int], name: str) -> Part:
    number = parts.get(name, 0)
    return Part(ok=number > 0, detail=f"{number} connections to the database")


async def _storage(api: State) -> str:
    await api.storage.exists("health")
    return "answers"


async def _node(client: httpx.AsyncClient, node: Node) -> str:
    auth = httpx.BasicAuth(node.username, node.password.get_secret_value()) if node.username else None
    response = await client.get(f"{node.url}/daemonstatus.json", auth=auth, timeout=NODE_SECONDS)
    response.raise_for_status()
    said = response.json()
    return f"{said['running']} of {node.slots} slots at work"


async def _part(question: Awaitable[str]) -> Part:
    try:
        return Part(ok=True, detail=await question)
    except (PixCrawlerError, httpx.HTTPError, ValueError, LookupError, TypeError) as error:
        return Part(ok=False, detail=f"does not answer as it should ({type(error).__name__})")
