"""The columns that tables of the front end have in common."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, Column, DateTime, ForeignKey, Integer, Numeric, String, Uuid, func, text
from sqlalchemy.dialects.postgresql import JSONB

JSON = JSONB(none_as_null=True)  # None is SQL's NULL, not JSON's null


def serial() -> Column[int]:
    return Column("id", Integer, primary_key=True)


def uuid() -> Column[UUID]:
    return Column("id", Uuid, primary_key=True, server_default=func.gen_random_uuid())


def parent(name: str, table: str, *, unique: bool | None = None) -> Column[Any]:
    target = ForeignKey(f"public.{table}.id", ondelete="CASCADE")
    return Column(name, target, nullable=False, unique=unique)


def required_text(name: str, length: int, default: str | None = None) -> Column[str]:
    return Column(name, String(length), nullable=False, server_default=default)


def integers(**defaults: int) -> Iterator[Column[int]]:
    for name, default in defaults.items():
        yield Column(name, Integer, nullable=False, server_default=text(str(default)))


def gigabytes(**defaults: int) -> Iterator[Column[Decimal]]:
    for name, default in defaults.items():
        yield Column(name, Numeric(10, 2), nullable=False, server_default=text(str(default)))


def flags(**defaults: bool) -> Iterator[Column[bool]]:
    for name, default in defaults.items():
        yield Column(name, Boolean, nullable=False, server_default=text(str(default).lower()))


def json_list(name: str) -> Column[Any]:
    return Column(name, JSON, nullable=False, server_default=text("'[]'::jsonb"))


def times(*names: str) -> Iterator[Column[datetime]]:
    for name in names:
        yield Column(name, DateTime(timezone=True))


def stamps(*names: str) -> Iterator[Column[datetime]]:
    for name in names:
        yield Column(name, DateTime(timezone=True), nullable=False, server_default=func.now())
