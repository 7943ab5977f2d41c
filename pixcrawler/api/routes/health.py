"""Whether the API lives, and whether everything behind it does."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from pixcrawler.api.gate import Reader
from pixcrawler.api.problems import described
from pixcrawler.api.routes import ALWAYS, BEHIND_THE_GATE
from pixcrawler.api.state import Api
from pixcrawler.health import Health, look

routes = APIRouter(prefix="/api/v1/health", tags=["health"])


class Alive(BaseModel):
    """An answer is all there is to it."""

    status: str = "ok"


@routes.get("/", responses=described(*ALWAYS))
async def health() -> Alive:
    """Whether this process answers. Asks nobody else."""
    return Alive()


@routes.get("/detailed", responses=described(*BEHIND_THE_GATE))
async def detailed(api: Api, caller: Reader) -> Health:
    """Database, storage, Scrapyd nodes, dispatchers, exporters, and the last check of every source."""
    return await look(api.engine, api.config, api.storage, api.client)
