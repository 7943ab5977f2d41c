"""What a subscriber of a publication is told: PostgreSQL's logical replication messages, decoded.

The format is that of protocol version 1, "Logical Replication Message Formats" in PostgreSQL's documentation.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

EPOCH = 946_684_800  # 2000-01-01 in seconds since 1970


@dataclass(frozen=True, slots=True)
class Change:
    """One row that was inserted, updated or deleted. Columns are texts; None: NULL, or not sent."""

    kind: str  # insert, update, delete
    table: str
    row: dict[str, str | None]
    at: float  # of its commit, seconds since 1970


class _Message:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def number(self, kind: str) -> int:
        (value,) = struct.unpack_from(f">{kind}", self._data, self._place)
        self._place += struct.calcsize(f">{kind}")
        return int(value)

    def letter(self) -> str:
        return chr(self.number("B"))

    def word(self) -> str:
        end = self._data.index(b"\0", self._place)
        word = self._data[self._place : end].decode()
        self._place = end + 1
        return word

    def values(self) -> list[str | None]:
        return [self._value() for _ in range(self.number("h"))]

    def _value(self) -> str | None:
        if self.letter() in "nu":
            return None
        length = self.number("i")
        self._place += length
        return self._data[self._place - length : self._place].decode()


def changes(messages: Iterable[bytes]) -> Iterator[Change]:
    """The changes in the messages of a slot, in the order of their commits."""
    tables: dict[int, tuple[str, list[str]]] = {}
    at = 0.0
    for data in messages:
        message = _Message(bytes(data))
        kind = message.letter()
        if kind == "B":
            message.number("q")
            at = EPOCH + message.number("q") / 1e6
        elif kind == "R":
            number, table, columns = _relation(message)
            tables[number] = table, columns
        elif kind in "IUD":
            table, columns = tables[message.number("i")]
            yield Change(_KINDS[kind], table, dict(zip(columns, _row(message), strict=True)), at)


_KINDS = {"I": "insert", "U": "update", "D": "delete"}


def _relation(message: _Message) -> tuple[int, str, list[str]]:
    number, schema, table = message.number("i"), message.word(), message.word()
    message.letter()  # its replica identity
    columns = []
    for _ in range(message.number("h")):
        message.letter()
        columns.append(message.word())
        message.number("i"), message.number("i")
    return number, f"{schema}.{table}", columns


def _row(message: _Message) -> list[Any]:
    if message.letter() in "KO":  # the old row or its key; an update has the new one behind it
        old = message.values()
        try:
            message.letter()
        except struct.error:
            return old
    return message.values()
