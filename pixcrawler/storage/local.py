"""Files in a folder of this machine, or of a file system that several machines share."""

from __future__ import annotations

import asyncio
import builtins
import hashlib
import os
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO
from uuid import uuid4

from pixcrawler.errors import StorageFailed, UsageError
from pixcrawler.storage import links
from pixcrawler.storage.faults import cause, explained
from pixcrawler.storage.files import appearing, sync_folder, write_durably
from pixcrawler.storage.keys import KEY, Stored, checked_key, checked_prefix
from pixcrawler.storage.together import Together

UNFINISHED = ".unfinished"  # no key starts with a dot
ABANDONED_SECONDS = 3600  # a file nothing was written to for so long has lost its writer


class LocalStorage:
    """A `Storage` below `root`. A file appears whole, under its key, or not at all, even if the writer is killed."""

    def __init__(self, root: Path, api_url: str = "") -> None:
        """Creates the folder. `api_url`: where links lead. Raises `UsageError` if it cannot be written."""
        self.root = root.absolute()
        self.api_url = api_url
        self.unfinished = self.root / UNFINISHED
        self._together = Together(self.unfinished)
        try:
            self.unfinished.mkdir(parents=True, exist_ok=True)
            with self._temporary() as probe:
                probe.touch()
            self._sweep()
        except OSError as error:
            raise UsageError(f"the storage folder cannot be written: {cause(error)}: {self.root}") from error

    async def put(self, key: str, body: bytes, content_type: str, trace: str | None = None) -> str:
        """Stores bytes. Returns their `file:` URL."""
        path = self._path(key)
        with explained(key):
            await self._together.write(path, body)
        return path.as_uri()

    async def put_file(self, key: str, path: Path, content_type: str) -> str:
        """Stores a copy of a file. Returns its `file:` URL."""
        return await asyncio.to_thread(self._write_file, key, path)

    async def get(self, key: str) -> bytes:
        """The bytes of a file."""
        return await asyncio.to_thread(self.read, key)

    def read(self, key: str) -> bytes:
        """The bytes of a file; blocks."""
        with explained(key):
            return self._path(key).read_bytes()

    async def fetch_file(self, key: str, to: Path) -> None:
        """Copies a file to a path."""
        await asyncio.to_thread(self._fetch, key, to)

    async def exists(self, key: str) -> bool:
        """Whether there is such a file."""
        return await asyncio.to_thread(self._exists, key)

    async def delete(self, key: str) -> None:
        """Removes a file; one that is not there is fine."""
        await asyncio.to_thread(self._delete, key)

    async def list(self, prefix: str) -> list[str]:
        """All keys that start with these characters, sorted."""
        return sorted([stored.key async for stored in self.entries(prefix)])

    async def entries(self, prefix: str) -> AsyncIterator[Stored]:
        """All files whose keys start with these characters."""
        for stored in await asyncio.to_thread(self._entries, checked_prefix(prefix)):
            yield stored

    async def link(self, key: str, seconds: int = 3600, name: str = "dataset.zip") -> str:
        """A link through the API that is over after `seconds`."""
        return await asyncio.to_thread(links.signed, self.root, self.api_url, checked_key(key), seconds, name)

    def url(self, key: str) -> str:
        """The `file:` URL of a key."""
        return self._path(key).as_uri()

    def _path(self, key: str) -> Path:
        return self.root / checked_key(key)

    def _write(self, key: str, source: IO[bytes]) -> str:
        path = self._path(key)
        with explained(key), self._temporary() as temporary:
            if path.is_file():
                _require_same(key, path, source)
                return path.as_uri()
            write_durably(source, temporary)
            if not path.parent.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
            temporary.replace(path)
            sync_folder(path.parent)
        return path.as_uri()

    def _write_file(self, key: str, path: Path) -> str:
        with explained(str(path)):
            source = path.open("rb")
        with source:
            return self._write(key, source)

    def _fetch(self, key: str, to: Path) -> None:
        with explained(key):
            source = self._path(key).open("rb")
        with source, appearing(to) as file:
            shutil.copyfileobj(source, file, 1 << 20)

    def _exists(self, key: str) -> bool:
        with explained(key):
            return self._path(key).is_file()

    def _delete(self, key: str) -> None:
        with explained(key):
            self._path(key).unlink(missing_ok=True)

    def _entries(self, prefix: str) -> builtins.list[Stored]:
        folder = prefix.rpartition("/")[0]
        with explained(prefix or str(self.root)):
            keys = [key for key in self._keys(self.root / folder) if key.startswith(prefix)]
            return [stored for key in keys if (stored := self._stored(key))]

    def _stored(self, key: str) -> Stored | None:
        try:
            status = self._path(key).stat()
        except FileNotFoundError:  # removed while we looked
            return None
        return Stored(key, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))

    def _keys(self, folder: Path) -> Iterator[str]:
        for parent, _, names in os.walk(folder, onerror=_unless_missing):
            below = Path(parent).relative_to(self.root)
            yield from filter(KEY.fullmatch, ((below / name).as_posix() for name in names))

    @contextmanager
    def _temporary(self) -> Iterator[Path]:
        path = self.unfinished / uuid4().hex
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _sweep(self) -> None:
        for path in self.unfinished.iterdir():
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < time.time() - ABANDONED_SECONDS:
                    path.unlink()


def _require_same(key: str, path: Path, source: IO[bytes]) -> None:
    with path.open("rb") as file:
        there = hashlib.file_digest(file, "sha256").digest()
    if hashlib.file_digest(source, "sha256").digest() != there:  # type: ignore[arg-type]
        raise StorageFailed(f"other bytes are stored under this key: {key}")


def _unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
