"""Names of files inside a dataset: a folder per keyword, a number and a hash per picture. Pure."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence

SLUG_LENGTH = 50  # with hash, number and extension a name stays below 100 characters, which every archive format takes
SHORT_HASH = 12  # hex digits; the number before it already makes the name unique

# Hugging Face's loaders take a folder with one of these words for a split and then leave out all other folders.
SPLIT_WORD = re.compile(r"(?<![a-z])(train|training|valid|validation|val|dev|test|testing|eval|evaluation)(?![a-z])")
# Windows cannot create folders of these names.
DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)")


def keyword_slug(keyword: str) -> str:
    """The folder of a keyword: `[a-z0-9_-]+`, the same in every run; a hash marks what the letters cannot say."""
    return next(_slugs(keyword))


def keyword_slugs(keywords: Sequence[str]) -> dict[str, str]:
    """The folder of each keyword, all different, even of keywords that differ only in case or in lost letters."""
    slugs: dict[str, str] = {}
    for keyword in keywords:
        if keyword not in slugs:
            slugs[keyword] = next(slug for slug in _slugs(keyword) if slug not in slugs.values())
    return slugs


def member_name(slug: str, position: int, sha256: str, extension: str) -> str:
    """The path of a picture inside its dataset: `<slug>/<000001>_<sha12>.<ext>`."""
    return f"{slug}/{position:06d}_{sha256[:SHORT_HASH]}.{extension}"


def _slugs(keyword: str) -> Iterator[str]:
    plain = _plain(keyword)
    if plain and plain.replace("_", " ") == " ".join(keyword.lower().split()) and not DEVICE.fullmatch(plain):
        yield plain
    digest = hashlib.sha256(keyword.encode("utf-8", "surrogatepass")).hexdigest()
    for length in (8, len(digest)):
        yield f"{plain or 'keyword'}__{digest[:length]}"


def _plain(keyword: str) -> str:
    letters = unicodedata.normalize("NFKD", keyword.lower()).encode("ascii", "ignore").decode()
    words = re.sub(r"[^a-z0-9-]+", "_", letters)
    return SPLIT_WORD.sub(r"\1s", words[:SLUG_LENGTH]).strip("_-")
