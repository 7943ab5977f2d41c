"""API keys: `pxc_<id>_<secret>`. Shown once; what is kept opens nothing. Pure.

The secret ends with a checksum, so that most of what is no key is refused without a look into the database, and
scanners of published code know a key when they see one.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import zlib
from uuid import UUID, uuid4

PREFIX = "pxc_"
SECRET_BYTES = 32
SHOWN = len(PREFIX) + 8  # characters by which people tell their keys apart
FORM = re.compile(r"pxc_(?P<id>[0-9a-f]{32})_[0-9a-f]{64}(?P<checksum>[0-9a-f]{8})")


def new_key() -> tuple[UUID, str]:
    """A key's id, and the key itself."""
    number = uuid4()
    said = f"{PREFIX}{number.hex}_{secrets.token_hex(SECRET_BYTES)}"
    return number, said + _checksum(said)


def id_of(key: str) -> UUID | None:
    """The id in a key; None for what cannot be one."""
    match = FORM.fullmatch(key)
    if match is None or _checksum(key[:-8]) != match["checksum"]:
        return None
    return UUID(match["id"])


def digest(key: str) -> str:
    """What is kept of a key: 256 random bits need no slow hash."""
    return hashlib.sha256(key.encode()).hexdigest()


def opens(key: str, kept: str) -> bool:
    """Whether it is the key of which this was kept, in the same time whether or not."""
    return hmac.compare_digest(digest(key).encode(), kept.encode())


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"
