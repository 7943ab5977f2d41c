"""Pages of a list that grows while it is read: each begins after the last row of the one before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, tuple_


def newest_first(statement: Select[Any], key: Sequence[Any], after: Sequence[Any] | None, limit: int) -> Select[Any]:
    """The rows after the one with the key `after`, largest key first; one more than `limit` tells of a next page."""
    if after is not None:
        statement = statement.where(tuple_(*key) < tuple_(*after))
    return statement.order_by(*(column.desc() for column in key)).limit(limit + 1)
