"""Where files live: pictures and datasets under keys like `jobs/7/images/ab/<sha256>.jpg`."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from pixcrawler.config import Config
from pixcrawler.storage.local import LocalStorage


class Storage(Protocol):
    """Every method may raise `StorageFailed`, whose message names the key. The async ones work in a thread."""

    async def put(self, key: str, body: bytes, content_type: str) -> str:
        """Stores bytes whole or not at all; again is harmless. Returns the URL, unsigned."""

    async def put_file(self, key: str, path: Path, content_type: str) -> str:
        """Stores a copy of a file whole or not at all, however large. Returns the URL, unsigned."""

    async def get(self, key: str) -> bytes:
        """The bytes of a file."""

    def read(self, key: str) -> bytes:
        """Does what `get` does and blocks: for work that has a thread of its own."""

    async def fetch_file(self, key: str, to: Path) -> None:
        """Copies a file to a path, whole or not at all, however large."""

    async def exists(self, key: str) -> bool:
        """Whether there is such a file."""

    async def delete(self, key: str) -> None:
        """Removes a file; one that is not there is fine."""

    async def list(self, prefix: str) -> list[str]:
        """All keys that start with these characters, sorted."""

    def url(self, key: str) -> str:
        """The address of a file, unsigned; it need not exist."""


def open_storage(config: Config) -> Storage:
    """The storage the settings name. Raises `UsageError` if it cannot be written."""
    return LocalStorage(config.data_dir / "storage")
