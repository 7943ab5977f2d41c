"""A dataset as one 7z: pictures as they are, texts compressed."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from py7zr import FILTER_COPY, FILTER_LZMA2, PRESET_EXTREME, SevenZipFile
from py7zr.io import Py7zIO, WriterFactory
from py7zr.properties import COMPRESSION_METHOD

from pixcrawler.errors import ExportFailed
from pixcrawler.export.container import MODE, Member, Picture, close_durably

NAME = "dataset.7z"
MADE = 315_532_800  # seconds; 1 January 1980, as in the ZIP

_COPY = [{"id": FILTER_COPY}]
_COMPRESS = [{"id": FILTER_LZMA2, "preset": 1}]  # fast and small enough for texts; 6 takes ten times as long, and 94 MB
_ULTRA = [{"id": FILTER_LZMA2, "preset": 6 | PRESET_EXTREME}]  # 94 MB of memory; 9 wants 674


class SevenZip:
    """A `Container`."""

    holds_texts = True

    def __init__(self, folder: Path, *, ultra: bool) -> None:
        self._ultra = ultra
        self._member = (folder / "member").open("xb")  # the library stamps bytes with the time of day, but not files
        self._file = (folder / NAME).open("x+b")
        self._archive = self._open("w", _COPY)

    def add(self, picture: Picture) -> None:
        # Never emptied: some file systems then wait for the disk at every picture.
        self._member.seek(0)
        self._member.write(picture.body)
        self._member.truncate()
        self.add_text(picture.name, Path(self._member.name))

    def pictures_done(self) -> Sequence[str]:
        """Begins another stream, in which the texts are."""
        self._archive.close()
        self._file.seek(0)
        self._archive = self._open("a", _COMPRESS)
        return ()

    def add_text(self, name: str, path: Path) -> None:
        path.chmod(MODE)
        os.utime(path, (MADE, MADE))
        self._archive.write(path, name)

    def _open(self, mode: str, filters: list[dict[str, int]]) -> SevenZipFile:
        archive = SevenZipFile(self._file, mode, filters=_ULTRA if self._ultra else filters)
        archive.set_encoded_header_mode(False)  # compressing the names of many files takes 186 MB of memory
        return archive

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with self._file:
            self._member.close()
            Path(self._member.name).unlink()
            if error[0] is None:
                self._archive.close()
                close_durably(self._file)


def members(path: Path) -> Iterator[Member]:
    """Every file inside, read to its end. Not all by the library, which takes a millisecond for each."""
    with path.open("rb") as file, SevenZipFile(file) as archive:
        compressed = []
        for entry in archive.files:
            if entry.folder.coders[0]["method"] != COMPRESSION_METHOD.COPY:
                compressed.append(entry.filename)
                continue
            body = file.read(entry.uncompressed)
            if zlib.crc32(body) != entry.crc32:
                raise ExportFailed(f"{entry.filename} has another checksum")
            yield Member(entry.filename, len(body), hashlib.sha256(body).hexdigest())
        found: list[Member] = []
        archive.extract(targets=compressed, factory=_Reading(found))
    yield from (member._replace(name=name) for name, member in zip(compressed, found, strict=True))


def read_text(path: Path, name: str) -> bytes:
    """One of the texts inside."""
    texts: list[bytes] = []
    with path.open("rb") as file, SevenZipFile(file) as archive:
        archive.extract(targets=[name], factory=_Reading([], texts))
    return texts[0]


class _Reading(WriterFactory):
    """Gets the files inside an archive, one after the other."""

    def __init__(self, found: list[Member], texts: list[bytes] | None = None) -> None:
        self._found = found
        self._texts = texts

    def create(self, filename: str) -> Py7zIO:
        return _Read(filename, self._found, self._texts)


class _Read(Py7zIO):
    def __init__(self, name: str, found: list[Member], texts: list[bytes] | None) -> None:
        self._name = name
        self._found = found
        self._texts = texts
        self._hash = hashlib.sha256()
        self._size = 0
        self._body = b""

    def write(self, s: bytes | bytearray) -> int:
        self._hash.update(s)
        self._size += len(s)
        if self._texts is not None:
            self._body += s
        return len(s)

    def close(self) -> None:
        self._found.append(Member(self._name, self._size, self._hash.hexdigest()))
        if self._texts is not None:
            self._texts.append(self._body)

    def size(self) -> int:
        return self._size

    def read(self, size: int | None = None) -> bytes:
        return b""

    def seek(self, offset: int, whence: int = 0) -> int:
        return 0

    def flush(self) -> None: ...
