"""What a format has to do: put pictures and texts where its readers look for them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple, Protocol, Self

from pixcrawler.export.dataset import DatasetImage

MANIFEST = "manifest.json"
CHUNK = 1 << 20  # bytes
MODE = 0o644  # of every member, whoever builds


@dataclass(frozen=True, slots=True)
class Picture:
    """One on its way into a dataset."""

    name: str  # path inside it
    split: str  # "": there are none
    label: int  # the place of its keyword among the dataset's, from 0
    body: bytes  # empty if the format takes no pictures
    image: DatasetImage  # of these bytes


class Container(Protocol):
    """Writes into a folder that nobody else uses. As a context it closes what it has open."""

    holds_texts: bool  # one file with everything in it; else the texts lie beside its files

    def add(self, picture: Picture) -> None:
        """Takes the next picture, in order of position."""

    def pictures_done(self) -> Sequence[str]:
        """Called once, after the last picture. The names of the files that are now finished."""

    def add_text(self, name: str, path: Path) -> None:
        """Takes a text file, if it holds texts."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


class Member(NamedTuple):
    """A file, inside an archive or beside others."""

    name: str
    size: int  # bytes
    sha256: str  # 64 hex digits


def member_of(name: str, path: Path) -> Member:
    """The file at this path, under this name."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Member(name, path.stat().st_size, digest)


@dataclass(frozen=True, slots=True)
class BuiltFile:
    """A finished file."""

    name: str
    size: int  # bytes
    sha256: str  # 64 hex digits
    content_type: str


@dataclass(frozen=True, slots=True)
class Built:
    """All files of a dataset in one format."""

    files: tuple[BuiltFile, ...]
    pictures: int


def close_durably(file: IO[bytes]) -> None:
    """Waits until the disk has it."""
    file.flush()
    os.fsync(file.fileno())
    file.close()
