"""Which pictures of a scope were met before: exactly by SHA-256, nearly by the distance of perceptual hashes. Pure."""

from __future__ import annotations

import numpy as np

from pixcrawler.jobs import Reason

ALGORITHM = 1  # stored with every fingerprint; raised when the same picture gets another hash

_BITS = 64


def to_signed(phash: int) -> int:
    """The hash as a bigint column holds it."""
    return phash - (1 << _BITS) if phash >> (_BITS - 1) else phash


def to_unsigned(column: int) -> int:
    """The hash from a bigint column."""
    return column % (1 << _BITS)


class Index:
    """The pictures of one scope. A flat picture has no perceptual hash and is only found exactly."""

    def __init__(self) -> None:
        self._exact: set[str] = set()
        self._phashes = np.empty(1024, np.uint64)  # doubles when full
        self._used = 0

    def __len__(self) -> int:
        return len(self._exact)

    def add(self, sha256: str, phash: int | None) -> None:
        """Remembers a picture; `phash` is unsigned."""
        self._exact.add(sha256)
        if phash is None:
            return
        if self._used == len(self._phashes):
            self._phashes = np.concatenate((self._phashes, np.empty_like(self._phashes)))
        self._phashes[self._used] = phash
        self._used += 1

    def find(self, sha256: str, phash: int | None, bits: int) -> Reason | None:
        """DUPLICATE_BYTES, NEAR_DUPLICATE when a hash differs in at most `bits` bits, or None."""
        if sha256 in self._exact:
            return Reason.DUPLICATE_BYTES
        if phash is None:
            return None
        distances = np.bitwise_count(self._phashes[: self._used] ^ np.uint64(phash))
        return Reason.NEAR_DUPLICATE if (distances <= bits).any() else None
