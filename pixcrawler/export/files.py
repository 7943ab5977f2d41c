"""How the text files of a dataset are written: the same bytes on every system, growing on disk."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self


def create(path: Path) -> IO[str]:
    """A new text file with the same bytes on every system."""
    return path.open("x", encoding="utf-8", newline="")


def as_json(value: Any) -> str:
    """JSON in one line; every reader of lines agrees where it ends."""
    return ENCODER.encode(value)


ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(", ", ": "))  # one for all lines: making one takes longer


class JsonList:
    """A JSON file: an object whose last value is a list, one entry per line."""

    def __init__(self, path: Path, head: Mapping[str, Any], name: str) -> None:
        self._file = create(path)
        self._file.write(as_json({**head, name: []}).removesuffix("]}"))
        self._separator = "\n"

    def add(self, entry: Mapping[str, Any]) -> None:
        self._file.write(self._separator + as_json(entry))
        self._separator = ",\n"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if kind is None:
                self._file.write("\n]}\n")


def read_list(text: bytes) -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
    """What stands in a `JsonList` before the list, and its entries, one after the other."""
    head, *lines, _ = text.splitlines()
    return json.loads(head + b"]}"), (json.loads(line.rstrip(b",")) for line in lines)
