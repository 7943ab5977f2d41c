"""What a storage key may look like: the same for every storage, so that files can move between them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from pixcrawler.errors import StorageFailed

KEY_LENGTH = 1024  # Azure's limit for a blob name
PART = r"[A-Za-z0-9_-](?:[A-Za-z0-9._-]{0,253}[A-Za-z0-9_-])?"  # no file system takes more than 255 bytes
KEY = re.compile(rf"{PART}(?:/{PART})*")
PREFIX = re.compile(rf"(?:{PART}/)*(?:{PART}\.*)?")


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that is there."""

    key: str
    size: int  # bytes
    modified_at: datetime  # with its zone


def checked_key(key: str) -> str:
    """The key itself. Raises `StorageFailed` if it could mean anything but one file below the root."""
    if len(key) > KEY_LENGTH or not KEY.fullmatch(key):
        raise StorageFailed(f"not a storage key: {_shown(key)}")
    return key


def checked_prefix(prefix: str) -> str:
    """The prefix itself. Raises `StorageFailed` if no key could start with it."""
    if len(prefix) > KEY_LENGTH or not PREFIX.fullmatch(prefix):
        raise StorageFailed(f"not a prefix of storage keys: {_shown(prefix)}")
    return prefix


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 80 else text[:80] + "…")  # one line of a terminal
