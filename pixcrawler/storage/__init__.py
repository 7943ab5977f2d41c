"""Where files live: pictures and datasets under keys like `jobs/7/images/ab/<sha256>.jpg`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from pixcrawler.config import Config
from pixcrawler.errors import LinkRefused
from pixcrawler.jobs import Tier
from pixcrawler.storage import links
from pixcrawler.storage.keys import Stored, checked_key
from pixcrawler.storage.local import LocalStorage

FOLDERS = {Tier.HOT: "storage", Tier.WARM: "storage-warm"}


class Storage(Protocol):
    """Every method may raise `StorageFailed`, whose message names the key. The async ones work in threads.

    What is stored stays as it is: a key holds the same bytes until it is deleted.
    """

    async def put(self, key: str, body: bytes, content_type: str, trace: str | None = None) -> str:
        """Stores bytes whole or not at all; the same again is harmless, others are refused. Returns `url`.

        Where files have metadata, the `trace` of a job goes there.
        """

    async def put_file(self, key: str, path: Path, content_type: str) -> str:
        """Does what `put` does with a file, however large; goes on where an earlier try was broken off, if it can."""

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

    def entries(self, prefix: str) -> AsyncIterator[Stored]:
        """All files whose keys start with these characters, with size and age, in no order."""

    def url(self, key: str) -> str:
        """The address of a file, unsigned; it need not exist."""

    async def link(self, key: str, seconds: int = 3600, name: str = "dataset.zip") -> str:
        """Where anybody can download this one file, as `name`, for so long. A secret: never logged, never stored."""


def open_storage(config: Config, tier: Tier = Tier.HOT) -> Storage:
    """The storage the settings name, of a tier. Blocks; raises `UsageError` if it cannot be reached or written."""
    if config.storage == "azure":
        from pixcrawler.storage.azure import AzureStorage  # half a second of imports

        return AzureStorage(config, tier)
    if config.storage == "supabase":
        from pixcrawler.storage.supabase import SupabaseStorage

        return SupabaseStorage(config, tier)
    return LocalStorage(config.data_dir / FOLDERS[tier], config.api_url)


def check_link(storage: Storage, key: str, expires: int, name: str, signature: str) -> None:
    """Raises `LinkRefused` unless this storage, of this tier, made the link, and it is not over."""
    if not isinstance(storage, LocalStorage):
        raise LinkRefused("files are had from the store itself")
    links.check(storage.root, checked_key(key), expires, name, signature)
