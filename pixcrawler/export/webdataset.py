"""Tar files as WebDataset reads them: what belongs to a picture has its name and stands beside it."""

from __future__ import annotations

import hashlib
import tarfile
from itertools import count
from pathlib import Path
from typing import IO

from pixcrawler.export.container import MODE, Picture
from pixcrawler.export.files import as_json
from pixcrawler.export.markdown import one_line
from pixcrawler.export.shards import Contents
from pixcrawler.export.texts import metadata

SUFFIX = "tar"
MEMBERS = 4  # per picture


class Tar:
    """A `Shard`: per picture its bytes, `.json` with what is known of it, `.cls` and `.txt` with its label."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def add(self, picture: Picture) -> None:
        key = picture.name.rpartition(".")[0]
        self._add(picture.name, picture.body)
        self._add(f"{key}.json", as_json(metadata(picture.name, picture.image)).encode())
        self._add(f"{key}.cls", str(picture.label).encode())
        self._add(f"{key}.txt", one_line(picture.image.keyword).encode())

    def finish(self) -> None:
        self._file.write(bytes(tarfile.RECORDSIZE))

    def _add(self, name: str, body: bytes) -> None:
        """Not by `TarFile`, which remembers every member."""
        info = tarfile.TarInfo(name)  # 1 January 1970, of nobody
        info.size, info.mode = len(body), MODE
        self._file.write(info.tobuf(tarfile.USTAR_FORMAT))
        self._file.write(body + bytes(-len(body) % tarfile.BLOCKSIZE))


def pictures(path: Path) -> Contents:
    """Name and SHA-256 of every picture inside."""
    with tarfile.open(path, "r|") as tar:
        for place in count():
            if (info := tar.next()) is None:
                return
            member = tar.extractfile(info)
            assert member is not None
            if place % MEMBERS == 0:
                yield info.name, hashlib.file_digest(member, "sha256").hexdigest()  # type: ignore[arg-type]
            tar.members = []  # type: ignore[attr-defined]  # it remembers all, and never needs them again
