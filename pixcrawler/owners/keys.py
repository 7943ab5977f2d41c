"""API keys: `pxc_<id>_<secret>`. Shown once; what is kept opens nothing.

The secret ends with a checksum, so that most of what is no key is refused without a look into the database, and
scanners of published code know a key when they see one.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import zlib
from collections.abc import Collection
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db import api_keys
from pixcrawler.db.api_keys import ApiKey
from pixcrawler.errors import UsageError

PREFIX = "pxc_"
SECRET_BYTES = 32
SHOWN = len(PREFIX) + 8  # characters by which people tell their keys apart
RATE_LIMIT = 1000  # requests a minute, as the front end's schema has it
MAX_RATE_LIMIT = 100_000
FORM = re.compile(r"pxc_(?P<id>[0-9a-f]{32})_[0-9a-f]{64}(?P<checksum>[0-9a-f]{8})")


class Scope(StrEnum):
    """What a key may do; each includes those before it."""

    READ = "read"
    WRITE = "write"  # create, change, cancel
    ADMIN = "admin"  # make and revoke API keys


def implied(permissions: object) -> frozenset[Scope]:
    """What a key with these permissions, as stored, may do; words of others mean nothing."""
    given = permissions if isinstance(permissions, list) else []
    ranks = [rank for rank, scope in enumerate(Scope) if scope in given]
    return frozenset(list(Scope)[: max(ranks) + 1]) if ranks else frozenset()


async def create(
    connection: AsyncConnection,
    owner: UUID,
    name: str,
    *,
    permissions: Collection[Scope],
    rate_limit: int,
    expires_at: datetime | None,
) -> tuple[str, ApiKey]:
    """A new key of somebody who has a profile: itself, and what is kept of it. Raises `UsageError`."""
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise UsageError("expires_at: is over")
    number, key = new_key()
    about = await api_keys.create(
        connection,
        key=number,
        owner=owner,
        name=name,
        digest=digest(key),
        prefix=key[:SHOWN],
        permissions=sorted(set(permissions)),
        rate_limit=rate_limit,
        expires_at=expires_at,
    )
    return key, about


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
