"""A dataset in several files, each begun when the one before is large enough, for every split on its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, Self

from pixcrawler.export.container import Picture, close_durably

SHARD_BYTES = 500_000_000  # of pictures; what readers fetch and shuffle at once


class Shard(Protocol):
    """Writes one file."""

    def add(self, picture: Picture) -> None:
        """Takes the next picture."""

    def finish(self) -> None:
        """Writes what comes after the last one; the file stays open."""


@dataclass(slots=True)
class _Open:
    shard: Shard
    file: IO[bytes]
    size: int = 0  # bytes of pictures


class Shards:
    """A `Container` beside whose files the texts lie: `<split>-000000.<suffix>`, or `shard-…` without splits."""

    holds_texts = False

    def __init__(self, folder: Path, suffix: str, begin: Callable[[IO[bytes]], Shard]) -> None:
        self._folder = folder
        self._suffix = suffix
        self._begin = begin
        self._open: dict[str, _Open] = {}  # by split
        self._names: dict[str, list[str]] = {}
        self._files = ExitStack()

    def add(self, picture: Picture) -> None:
        now = self._open.get(picture.split)
        if now is None or now.size + len(picture.body) > SHARD_BYTES:
            now = self._next(picture.split)
        now.shard.add(picture)
        now.size += len(picture.body)

    def pictures_done(self) -> Sequence[str]:
        for split in list(self._open):
            self._finish(split)
        return sorted(name for names in self._names.values() for name in names)

    def add_text(self, name: str, path: Path) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._files.close()

    def _next(self, split: str) -> _Open:
        self._finish(split)
        names = self._names.setdefault(split, [])
        names.append(f"{split or 'shard'}-{len(names):06d}.{self._suffix}")
        file = self._files.enter_context((self._folder / names[-1]).open("xb"))
        self._open[split] = _Open(self._begin(file), file)
        return self._open[split]

    def _finish(self, split: str) -> None:
        if done := self._open.pop(split, None):
            done.shard.finish()
            close_durably(done.file)


class NoPictures:
    """A `Container` of no pictures: its texts are all there is."""

    holds_texts = False

    def add(self, picture: Picture) -> None:
        pass

    def pictures_done(self) -> Sequence[str]:
        return ()

    def add_text(self, name: str, path: Path) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass


Contents = Iterator[tuple[str, str]]  # of a file: name and SHA-256 of every picture inside, in order
