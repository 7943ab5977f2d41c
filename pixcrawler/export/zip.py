"""A dataset as one ZIP. Nothing in it is compressed: pictures are already."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from pixcrawler.export.container import CHUNK, MODE, Member, Picture, close_durably

NAME = "dataset.zip"


class Zip:
    """A `Container`."""

    holds_texts = True

    def __init__(self, folder: Path) -> None:
        self._file = (folder / NAME).open("xb")
        self._archive = ZipFile(self._file, "w", ZIP_STORED)

    def add(self, picture: Picture) -> None:
        self._archive.writestr(_info(picture.name, len(picture.body)), picture.body)

    def pictures_done(self) -> Sequence[str]:
        return ()

    def add_text(self, name: str, path: Path) -> None:
        with path.open("rb") as source, self._archive.open(_info(name, path.stat().st_size), "w") as member:
            shutil.copyfileobj(source, member, CHUNK)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with self._file:
            self._archive.close()
            close_durably(self._file)


def members(path: Path) -> Iterator[Member]:
    """Every file inside, read to its end."""
    with ZipFile(path) as archive:
        for info in archive.infolist():
            with archive.open(info) as member:
                digest = hashlib.file_digest(member, "sha256").hexdigest()  # type: ignore[arg-type]
            yield Member(info.filename, info.file_size, digest)


def read_text(path: Path, name: str) -> bytes:
    """One of the texts inside."""
    with ZipFile(path) as archive:
        return archive.read(name)


def _info(name: str, size: int) -> ZipInfo:
    info = ZipInfo(name)  # 1 January 1980
    info.create_system = 3  # Unix, so that the mode counts
    info.external_attr = (0o100000 | MODE) << 16
    info.file_size = size  # tells zipfile before it writes whether the entry needs ZIP64
    return info
