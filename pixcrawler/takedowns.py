"""What is taken back: by its address, its creator, or its bytes; and whether something is meant. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pixcrawler.errors import UsageError
from pixcrawler.items import canonical_url, host_of, url_key

SHA256 = re.compile(r"[0-9a-f]{64}")


class Kind(StrEnum):
    """`crawler.takedowns.kind`."""

    URL = "url"
    CREATOR = "creator"
    SHA256 = "sha256"


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose pictures, or which one, somebody takes back."""

    kind: Kind
    value: str  # in the one form in which it is compared
    url: str | None = None  # as given

    @classmethod
    def parse(cls, kind: Kind, given: str) -> Subject:
        """From what a person wrote. Raises `UsageError`."""
        given = given.strip()
        if kind is Kind.URL:
            if not _is_url(given):
                raise UsageError(f"url: expected an address, http://… or https://…, got {given[:80]!r}")
            return cls(kind, url_key(given), given)
        if kind is Kind.SHA256:
            if not SHA256.fullmatch(given.lower()):
                raise UsageError(f"sha256: expected 64 hex digits, got {given[:80]!r}")
            return cls(kind, given.lower())
        if not _folded(given):
            raise UsageError("creator: expected a name or an address")
        return cls(kind, _folded(given), given if _is_url(given) else None)

    @property
    def mark(self) -> tuple[Kind, str]:
        """What it is looked up by."""
        return self.kind, self.value


def marks(facts: Mapping[str, Any]) -> set[tuple[Kind, str]]:
    """By what a picture could be taken back, of what a source says of it."""
    found = {(Kind.URL, url_key(url)) for url in _said(facts, "url", "page_url")}
    found |= {(Kind.CREATOR, _folded(name)) for name in _said(facts, "creator", "creator_url")}
    return found | {(Kind.URL, key) for key in _said(facts, "key")}


def marks_of_image(original_url: str, metadata: Mapping[str, Any]) -> set[tuple[Kind, str]]:
    """The same of a kept picture, and of the copies of it that were seen elsewhere."""
    told = ({**metadata, "url": original_url}, *metadata.get("also_found", ()))
    return {mark for facts in told for mark in marks(facts)}


def _said(facts: Mapping[str, Any], *names: str) -> Iterable[str]:
    return (value for name in names if isinstance(value := facts.get(name), str) and value.strip())


def _folded(name: str) -> str:
    """A creator's name or address, whatever its case and spaces."""
    if _is_url(name):
        name = canonical_url(name).rstrip("/")
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _is_url(text: str) -> bool:
    try:
        canonical_url(text)
    except ValueError:
        return False
    return text.strip().lower().startswith(("http://", "https://")) and bool(host_of(text.strip()))
