"""What stores behind HTTP have in common: threads of their own, hashes, downloads that go on where they were cut."""

from __future__ import annotations

import asyncio
import builtins
import hashlib
import io
import re
import weakref
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from pixcrawler.errors import StorageFailed
from pixcrawler.storage.faults import explained
from pixcrawler.storage.files import appearing
from pixcrawler.storage.keys import Stored, checked_key, checked_prefix

T = TypeVar("T")

THREADS = 8  # transfers at once; more do not fill a line any better
PART = 4 * 2**20  # bytes of one answer: the most that Azure sends an MD5 with
CONNECT_SECONDS = 10
READ_SECONDS = 60  # without a byte; a store that works on something says so earlier
CODE = re.compile(r"[A-Za-z0-9_ .-]{1,60}")


class Missing(StorageFailed):
    """There is no such file, container or bucket."""


class Taken(StorageFailed):
    """There is something else in its place."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a store knows of a file before its bytes are read."""

    size: int  # bytes
    sha256: str | None  # as it was when the file was stored; None: not stored by us
    etag: str


class Digests:
    """The hashes of bytes as they come by."""

    def __init__(self, body: bytes = b"") -> None:
        self._sha256 = hashlib.sha256(body)
        self._md5 = hashlib.md5(body, usedforsecurity=False)

    @classmethod
    def of_file(cls, path: Path) -> Digests:
        digests = cls()
        with explained(str(path)), path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digests.update(chunk)
        return digests

    def update(self, chunk: bytes) -> None:
        self._sha256.update(chunk)
        self._md5.update(chunk)

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    @property
    def md5(self) -> bytes:
        return self._md5.digest()


class Remote(ABC):
    """A `Storage` behind HTTP. The methods below the line block, are safe to repeat, and have patience."""

    def __init__(self, close: Callable[[], None]) -> None:
        """`close` ends the connections when nobody has this storage any more."""
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="storage")
        weakref.finalize(self, close)

    async def put(self, key: str, body: bytes, content_type: str, trace: str | None = None) -> str:
        """Stores bytes. Returns their URL."""
        await self._in_thread(self._put, checked_key(key), body, content_type, trace)
        return self.url(key)

    async def put_file(self, key: str, path: Path, content_type: str) -> str:
        """Stores a copy of a file. Returns its URL."""
        await self._in_thread(self._put_file, checked_key(key), path, content_type)
        return self.url(key)

    async def get(self, key: str) -> bytes:
        """The bytes of a file."""
        return await self._in_thread(self.read, key)

    def read(self, key: str) -> bytes:
        """The bytes of a file; blocks."""
        body = io.BytesIO()
        self._copy(checked_key(key), body)
        return body.getvalue()

    async def fetch_file(self, key: str, to: Path) -> None:
        """Copies a file to a path."""
        await self._in_thread(self._fetch, checked_key(key), to)

    async def exists(self, key: str) -> bool:
        """Whether there is such a file."""
        return await self._in_thread(self._known, checked_key(key)) is not None

    async def delete(self, key: str) -> None:
        """Removes a file; one that is not there is fine."""
        await self._in_thread(self._delete, checked_key(key))

    async def list(self, prefix: str) -> list[str]:
        """All keys that start with these characters, sorted."""
        return sorted([stored.key async for stored in self.entries(prefix)])

    async def entries(self, prefix: str) -> AsyncIterator[Stored]:
        """All files whose keys start with these characters."""
        place: str | None = None
        checked_prefix(prefix)
        while True:
            page, place = await self._in_thread(self._page, prefix, place)
            for stored in page:
                yield stored
            if not place:
                return

    async def link(self, key: str, seconds: int = 3600, name: str = "dataset.zip") -> str:
        """A link to one file that is over after `seconds`."""
        return await self._in_thread(self._link, checked_key(key), seconds, name)

    @abstractmethod
    def url(self, key: str) -> str:
        """The address of a file, unsigned."""

    # ---

    @abstractmethod
    def _put(self, key: str, body: bytes, content_type: str, trace: str | None = None) -> None: ...

    @abstractmethod
    def _put_file(self, key: str, path: Path, content_type: str) -> None: ...

    @abstractmethod
    def _known(self, key: str) -> Known | None:
        """What is known of a file; None: there is none."""

    @abstractmethod
    def _part(self, key: str, start: int, known: Known | None) -> tuple[Known, bytes]:
        """Up to `PART` bytes from `start` on, of the very file that is known."""

    @abstractmethod
    def _delete(self, key: str) -> None: ...

    @abstractmethod
    def _page(self, prefix: str, place: str | None) -> tuple[builtins.list[Stored], str | None]:
        """Some files, and where the next page begins."""

    @abstractmethod
    def _link(self, key: str, seconds: int, name: str) -> str: ...

    def _has_same(self, key: str, sha256: str) -> bool:
        """Whether the key already holds these bytes. Raises `StorageFailed` if it holds others."""
        known = self._known(key)
        if known and known.sha256 != sha256:
            raise StorageFailed(f"other bytes are stored under this key: {key}")
        return known is not None

    def _fetch(self, key: str, to: Path) -> None:
        with appearing(to) as file:
            self._copy(key, file)

    def _copy(self, key: str, sink: IO[bytes]) -> None:
        known: Known | None = None
        sha256, done = hashlib.sha256(), 0
        while known is None or done < known.size:
            known, part = self._part(key, done, known)
            sink.write(part)
            sha256.update(part)
            done += len(part)
        if known.sha256 not in (None, sha256.hexdigest()):
            raise StorageFailed(f"its bytes have changed in storage: {key}")

    async def _in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)


def body_if_small(path: Path, most: int) -> bytes | None:
    """What is in a file, unless that is more than so many bytes."""
    with explained(str(path)):
        return path.read_bytes() if path.stat().st_size <= most else None


def shown(code: object) -> str:
    """A store's word for what is wrong, if it is no more than that."""
    return str(code) if CODE.fullmatch(str(code)) else "an unknown error"
