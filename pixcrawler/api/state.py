"""What routes work with."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Annotated

import httpx
from fastapi import Depends, Request
from pydantic import AfterValidator
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pixcrawler.api.events import Events
from pixcrawler.api.gate import Gate
from pixcrawler.api.thumbnails import Thumbnails
from pixcrawler.config import Config
from pixcrawler.db.engine import statements, transaction
from pixcrawler.jobs import Tier
from pixcrawler.storage import Storage
from pixcrawler.terms import Catalogue


@dataclass(frozen=True, slots=True)
class State:
    """One of it for as long as the API runs."""

    config: Config
    engine: AsyncEngine
    storages: Mapping[Tier, Storage]
    catalogue: Catalogue
    descriptions: Mapping[str, str]  # of the sources
    client: httpx.AsyncClient
    gate: Gate
    events: Events
    thumbnails: Thumbnails

    @property
    def storage(self) -> Storage:
        """Where everything is but what waits in the warm tier."""
        return self.storages[Tier.HOT]

    def reading(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection for questions that need no common moment: it takes two ways to the database less."""
        return statements(self.engine)

    def transaction(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A transaction, in which nothing but the database is waited for."""
        return transaction(self.engine)


async def _of(request: Request) -> State:  # a plain function would be called in a thread of its own
    state: State = request.app.state.api
    return state


Api = Annotated[State, Depends(_of)]


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("PostgreSQL keeps no texts with a NUL character")
    return text


Plain = Annotated[str, AfterValidator(_without_nul)]
