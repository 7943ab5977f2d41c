"""Pages: a cursor says where the next one begins, and means nothing to anybody but us."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel

from pixcrawler.api.problems import Code, Refused

Item = TypeVar("Item")

Limit = Annotated[int, Query(ge=1, le=100, description="How many at most.")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before.")]


class Page(BaseModel, Generic[Item]):
    """Some of a list, the newest first."""

    items: list[Item]
    next_cursor: str | None  # null: there are no more


def by_id(cursor: str | None) -> Sequence[Any] | None:
    """Where a page of things with a number begins."""
    return _decoded(cursor, lambda place: [_number(place)])


def by_time(cursor: str | None) -> Sequence[Any] | None:
    """Where a page of things with a time and a UUID begins."""
    return _decoded(cursor, lambda place: [datetime.fromisoformat(place[0]), UUID(place[1])])


def paged(rows: Sequence[Item], limit: int, *key: str) -> Page[Item]:
    """A page of rows, of which there is one more if another page follows."""
    shown = list(rows[:limit])
    more = len(rows) > limit
    return Page(items=shown, next_cursor=_encoded(shown[-1], key or ("id",)) if more else None)


def _number(place: Any) -> int:
    number = int(place[0])
    if not 0 <= number < 2**31:
        raise ValueError
    return number


def _decoded(cursor: str | None, read: Callable[[Any], Sequence[Any]]) -> Sequence[Any] | None:
    if cursor is None:
        return None
    try:
        return read(json.loads(urlsafe_b64decode(cursor)))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise Refused(Code.INVALID, "cursor: not one of ours") from None


def _encoded(row: Any, key: Sequence[str]) -> str:
    place = [getattr(row, name) for name in key]
    return urlsafe_b64encode(json.dumps(place, default=_in_json).encode()).decode()


def _in_json(value: datetime | UUID) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
