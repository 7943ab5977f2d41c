"""Turns a row of a list of image addresses into a `Line`: which column is what, and what its cells say. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from pixcrawler.errors import UsageError

Columns = Mapping[str, str]  # field of `Line` → the list's name for it
AS_KNOWN: Columns = MappingProxyType({})

# What published lists call each field of a line, best first; without regard to case, spaces and underscores.
COLUMNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "url": ("url", "imageurl", "photoimageurl", "imgurl", "originalurl"),
        "caption": ("caption", "text", "txt", "title", "description"),
        "keyword": ("keyword", "label", "class", "query"),
        "license": ("license", "licence"),
        "license_url": ("licenseurl", "licenceurl"),
        "creator": ("creator", "author"),
        "page_url": ("pageurl", "foreignlandingurl", "originallandingurl", "photourl"),
        "width": ("width", "originalwidth"),
        "height": ("height", "originalheight"),
    }
)
NOTHING = frozenset({"", "null", "none", "nan", "\\n", "?"})  # "?" is LAION's unknown licence
TEXT_LIMIT = 8192  # characters; servers refuse longer addresses

ADDRESS = re.compile(r"\s*https?://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Line:
    """What one line of a list says. `url` is whatever stands in its place, an address or not."""

    url: str
    caption: str | None = None
    keyword: str | None = None
    license: str | None = None
    license_url: str | None = None
    creator: str | None = None
    page_url: str | None = None
    width: int | None = None  # pixels
    height: int | None = None

    def fits(self, keyword: str) -> bool:
        """Whether the line belongs to the keyword: without one of its own it belongs to all."""
        return not self.keyword or _folded(self.keyword) == _folded(keyword)

    def facts(self) -> dict[str, Any]:
        """What the line says of its picture, in the words of `ImageItem`."""
        facts = asdict(self)
        del facts["url"]
        facts["title"], facts["label"] = facts.pop("caption"), facts.pop("keyword")
        return facts


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


def line_of(row: Sequence[object], positions: Mapping[str, int]) -> Line:
    """The row's fields, found at `positions`. A cell of any type will do; what says nothing is None."""
    values = {field: row[place] for field, place in positions.items() if place < len(row)}
    url, width, height = (values.pop(field, None) for field in ("url", "width", "height"))
    texts = {field: text_of(value) for field, value in values.items()}
    return Line(address_of(url), **texts, width=number_of(width), height=number_of(height))


def address_of(value: object) -> str:
    """The text as it is, or, where it is too long for an address, one that says so and is none."""
    text = _clean(value)
    return text if len(text) <= TEXT_LIMIT else f"({len(text)} characters) {text[:100]}"


def text_of(value: object) -> str | None:
    """The cell's text, cut to 8,192 characters; None for the usual words for nothing."""
    text = _clean(value)[:TEXT_LIMIT]
    return None if text.lower() in NOTHING else text


def number_of(value: object) -> int | None:
    """A positive whole number, or None."""
    try:
        number = int(float(_clean(value)))
    except (ValueError, OverflowError):
        return None
    return number if number > 0 else None


def _clean(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str | int | float):
        return ""
    # PostgreSQL stores neither NUL nor a lone surrogate.
    return str(value).encode("utf-8", "replace").decode().replace("\0", "").strip()


def is_address(cell: str) -> bool:
    """Whether the cell begins like an http address; names of columns never do."""
    return bool(ADDRESS.match(cell))


def guessed_positions(first: Sequence[str]) -> dict[str, int]:
    """Where the first row of a list without names has its address and its caption."""
    url = next(i for i, cell in enumerate(first) if is_address(cell))
    others = (i for i, cell in enumerate(first) if not is_address(cell) and number_of(cell) is None)
    caption = next(others, None)
    return {"url": url} if caption is None else {"url": url, "caption": caption}


def checked_positions(names: Sequence[str], columns: Columns = AS_KNOWN) -> dict[str, int]:
    """Field → place among `names`. Raises `UsageError` without a column of addresses or one asked for by name."""
    found = positions_of(names, columns)
    for field in ("url", *columns):
        if field not in found:
            wanted = repr(columns[field]) if field in columns else "of addresses"
            raise UsageError(f"no column {wanted} among: {', '.join(names)[:200]}")
    return found


def positions_of(names: Sequence[str], columns: Columns = AS_KNOWN) -> dict[str, int]:
    """Field → place among `names`, for the fields that are there."""
    places = {_plain(name): i for i, name in reversed(list(enumerate(names)))}  # of equal names the first counts
    known = {**COLUMNS, **{field: (_plain(name),) for field, name in columns.items()}}
    found = {field: next((places[name] for name in known[field] if name in places), None) for field in known}
    return {field: place for field, place in found.items() if place is not None}


@lru_cache(maxsize=1024)
def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()
