"""The sources there are."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel

from pixcrawler.api.gate import Reader
from pixcrawler.api.routes import router
from pixcrawler.api.state import Api
from pixcrawler.db import sources
from pixcrawler.jobs import Health
from pixcrawler.source_facts import facts
from pixcrawler.terms import Terms

routes = router("sources", "sources")


class KeyNeeded(BaseModel):
    """What the operator must have, and whether they do."""

    variable: str
    present: bool


class Check(BaseModel):
    """How its last check ended."""

    state: Health
    reason: str | None
    checked_at: datetime


class SourceShown(BaseModel):
    """A source: what it needs, what it brings, what its terms say."""

    name: str
    description: str
    key: KeyNeeded | None
    terms: Terms
    consent: bool | None  # given by the operator; null: it needs none
    cap: int | None  # pictures one keyword brings at most
    needs_list: bool
    fields: list[str]
    filters: dict[str, list[str]]
    check: Check | None


@routes.get("/")
async def list_(api: Api, caller: Reader) -> list[SourceShown]:
    """All sources."""
    async with api.reading() as connection:
        checks = await sources.checks(connection)
    return [
        SourceShown.model_validate(facts(source, api.descriptions[name], checks.get(name), api.config))
        for name, source in api.catalogue.items()
    ]
