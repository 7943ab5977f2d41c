"""Credits, and what was used."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from fastapi import APIRouter, Request, Response

from pixcrawler.api.dashboard.pages import page
from pixcrawler.api.dashboard.visitors import Visitor
from pixcrawler.api.dashboard.words import Said
from pixcrawler.api.paging import Cursor
from pixcrawler.api.routes import accounts
from pixcrawler.api.state import Api
from pixcrawler.db.usage import Day

SHOWN = 20  # a page
DAYS = 30
WIDTH, HEIGHT, GAP = 20, 120, 4  # of a bar and its place, the highest bar, between two
TRANSACTIONS = {
    "purchase": Said("bought", "good"),
    "bonus": Said("given", "good"),
    "refund": Said("refunded", "quiet"),
    "usage": Said("used", "busy"),
}

routes = APIRouter(include_in_schema=False)


class Bar(NamedTuple):
    """A day in the chart."""

    day: date
    images: int
    x: int
    y: float
    height: float


@routes.get("/usage")
async def show(request: Request, api: Api, visitor: Visitor, cursor: Cursor = None) -> Response:
    """What there is, what was used by day, and how it became that."""
    account = await accounts.balance(api, visitor)
    days = await accounts.days(api, visitor, DAYS)
    found = await accounts.transactions(api, visitor, cursor, SHOWN)
    shown = {"account": account, "days": days, "bars": bars(days, datetime.now(UTC).date())}
    chart = {"width": DAYS * WIDTH, "bar": WIDTH - GAP, "height": HEIGHT}
    books = {"transactions": found.items, "next_cursor": found.next_cursor, "kinds": TRANSACTIONS}
    return page(request, "usage.html", **shown, **books, chart=chart)


def bars(days: Sequence[Day], today: date) -> list[Bar]:
    """A bar for each of the last days, those without any usage too."""
    images = {each.day: each.images_processed for each in days}
    most = max([*images.values(), 1])
    shown = [today - timedelta(days=number) for number in reversed(range(DAYS))]
    return [_bar(place, day, images.get(day, 0), most) for place, day in enumerate(shown)]


def _bar(place: int, day: date, images: int, most: int) -> Bar:
    height = round(HEIGHT * images / most, 1)
    return Bar(day, images, place * WIDTH, HEIGHT - height, height)
