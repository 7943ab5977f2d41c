"""The application: routes, what they work with, and what is around them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from sqlalchemy.ext.asyncio import AsyncEngine

import pixcrawler
from pixcrawler.api import dashboard, docs, problems
from pixcrawler.api.events import Events
from pixcrawler.api.gate import Gate
from pixcrawler.api.guard import Guard
from pixcrawler.api.routes import (
    accounts,
    api_keys,
    auth,
    exports,
    files,
    health,
    jobs,
    lists,
    notifications,
    projects,
    results,
    sources,
)
from pixcrawler.api.state import State
from pixcrawler.api.thumbnails import Thumbnails
from pixcrawler.api.tokens import Verifier, fetch_from, issuer
from pixcrawler.config import Config
from pixcrawler.db import check, engine, profiles
from pixcrawler.db.engine import transaction
from pixcrawler.errors import UsageError
from pixcrawler.jobs import Tier
from pixcrawler.storage import open_storage
from pixcrawler.terms import Catalogue

RESTED_SECONDS = 5.0  # since when a connection may be gone: of a database that restarts, some answers are 503
CONNECTIONS = 5  # all kept: whoever answers many at once must not open one for each
ABOUT = "Turns keywords into image datasets people can trust. Errors are problem details (RFC 9457) with a `code`."

ROUTES = (
    *(health.routes, auth.routes, lists.routes, jobs.routes, results.routes, exports.routes, projects.routes),
    *(notifications.routes, api_keys.routes, accounts.credit_routes, accounts.usage_routes, sources.routes),
    files.routes,
)
ASKED = ["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID"]
TOLD = ["RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "Retry-After"]


@asynccontextmanager
async def open_state(
    url: str, config: Config, catalogue: Catalogue, descriptions: Mapping[str, str]
) -> AsyncIterator[State]:
    """What routes work with. Raises `SchemaMismatch` or `UsageError` for a database that cannot be served."""
    pool = engine.create(
        url, application_name="pixcrawler api", pool_size=CONNECTIONS, kept=CONNECTIONS, rested_seconds=RESTED_SECONDS
    )
    async with httpx.AsyncClient(trust_env=False) as client:
        try:
            gate = await _gate(pool, config, client)
            events = Events(pool)
            storages = {tier: await asyncio.to_thread(open_storage, config, tier) for tier in Tier}
            thumbnails = Thumbnails(storages[Tier.HOT])
            yield State(config, pool, storages, catalogue, descriptions, client, gate, events, thumbnails)
            await thumbnails.close()
            await events.close()
            await gate.close()
        finally:
            await pool.dispose()


async def _gate(pool: AsyncEngine, config: Config, client: httpx.AsyncClient) -> Gate:
    async with transaction(pool) as connection:
        await check.require(connection)
        local_user = await profiles.local_user(connection)
    if config.supabase_url is not None:
        secret = config.supabase_jwt_secret
        shared = secret.get_secret_value() if secret else None
        return Gate(config, pool, None, Verifier(issuer(config), fetch_from(config, client), shared))
    if local_user is None:
        raise UsageError("SUPABASE_URL is needed: this database has users of its own, and somebody must log them in")
    return Gate(config, pool, local_user, None)


def create_app(state: State) -> FastAPI:
    """All of it, over what there is."""
    app = FastAPI(
        title="PixCrawler",
        description=ABOUT,
        version=pixcrawler.__version__,
        docs_url=None,
        redoc_url=None,
    )
    app.state.api = state
    for routes in ROUTES:
        app.include_router(routes)
    dashboard.add(app)
    problems.handle(app, dashboard.show_problem)
    docs.add(app)
    origins = list(state.config.allowed_origins)
    methods = ["GET", "POST", "PATCH", "DELETE"]
    app.add_middleware(
        CORSMiddleware, allow_origins=origins, allow_methods=methods, allow_headers=ASKED, expose_headers=TOLD
    )
    app.add_middleware(Guard, config=state.config)
    return app
