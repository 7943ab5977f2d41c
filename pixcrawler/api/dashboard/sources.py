"""The sources, and which of them can be used."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response

from pixcrawler.api.dashboard.pages import page
from pixcrawler.api.dashboard.visitors import Visitor
from pixcrawler.api.dashboard.words import Said
from pixcrawler.api.routes import sources
from pixcrawler.api.routes.sources import SourceShown
from pixcrawler.api.state import Api
from pixcrawler.db.sources import COUNTS_FOR
from pixcrawler.jobs import Health

CHECKS = {
    Health.OK: Said("read", "good"),
    Health.BROKEN: Said("cannot be read", "bad"),
    Health.UNREACHABLE: Said("did not answer", "warn"),
}

routes = APIRouter(include_in_schema=False)


@routes.get("/sources")
async def list_(request: Request, api: Api, visitor: Visitor) -> Response:
    """All of them, those that can be used first."""
    found = sorted(await sources.list_(api, visitor), key=lambda source: bool(missing(source)))
    shown = [(each, missing(each)) for each in found]
    return page(request, "sources.html", sources=shown, checks=CHECKS, passed_over=passed_over)


def missing(source: SourceShown) -> list[tuple[str, str]]:
    """What the operator has yet to give before it can be used, and by which settings."""
    wanted = []
    if source.key and not source.key.present:
        wanted.append(("a key", f"{source.key.variable}=…"))
    if source.consent is False:
        wanted.append(("consent to its terms", f"PIXCRAWLER_ACCEPT_TERMS={source.name}"))
    return wanted


def passed_over(source: SourceShown) -> bool:
    """Whether jobs do without it, because it could not be read lately."""
    check = source.check
    return check is not None and check.state is Health.BROKEN and datetime.now(UTC) - check.checked_at < COUNTS_FOR
