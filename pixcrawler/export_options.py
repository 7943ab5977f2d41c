"""What somebody wants of an export: how pictures are rewritten, split and chosen. Pure, no I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from pixcrawler.errors import UsageError
from pixcrawler.rights import Policy, parse_policy

MAX_SIDE = 10_000  # pixels; more than any kept picture has on both sides
SPLITS = ("train", "val", "validation", "test")  # what Hugging Face's loaders take for one when it is a folder
MAX_SEED = 2**32 - 1


class Encode(StrEnum):
    """The format pictures are written in."""

    KEEP = "keep"  # its own
    JPEG = "jpeg"
    WEBP = "webp"


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """The defaults leave every picture as it is served, and all of them in one place."""

    resize: tuple[int, int] | None = None  # width and height in pixels that are filled; what juts out is cut off
    max_side: int | None = None  # pixels of the longer side
    encode: Encode = Encode.KEEP
    strip_metadata: bool = False
    split: Mapping[str, float] = field(default_factory=dict)  # name → share, in this order; empty: no splits
    rights: Policy = Policy.ANY
    sources: tuple[str, ...] = ()  # empty: all
    keywords: tuple[str, ...] = ()
    ultra: bool = False  # a 7z compresses pictures too
    seed: int = 0  # of the split

    @property
    def rewrites(self) -> bool:
        """Whether the bytes of pictures may change."""
        return bool(self.resize or self.max_side or self.encode != Encode.KEEP or self.strip_metadata)

    @property
    def filters(self) -> bool:
        """Whether pictures may be left out."""
        return bool(self.rights != Policy.ANY or self.sources or self.keywords)

    def to_json(self) -> dict[str, Any]:
        """What is not default, in one way only: equal options give equal JSON, and `parse` reads it."""
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        written = {
            **given,
            "resize": self.resize and f"{self.resize[0]}x{self.resize[1]}",
            "encode": self.encode.value,
            "split": ",".join(f"{name}={share!r}" for name, share in self.split.items()),  # jsonb keeps no order
            "rights": self.rights.value,
            "sources": list(self.sources),
            "keywords": list(self.keywords),
        }
        default = ExportOptions()
        return {name: written[name] for name, value in given.items() if value != getattr(default, name)}

    @classmethod
    def parse(cls, given: Mapping[str, object]) -> ExportOptions:
        """From texts of a command line, or from JSON. Raises `UsageError` naming the option that is wrong."""
        for name in given:
            if name not in _READERS:
                raise UsageError(f"unknown option of an export {name[:40]!r}; known are {', '.join(_READERS)}")
        read = {name: _READERS[name](name, value) for name, value in given.items() if value not in (None, "")}
        options = cls(**read)
        if options.resize and options.max_side:
            raise UsageError("max_side: not together with resize, which says the size already")
        return options


def _size(name: str, value: object) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", value.strip().lower()) if isinstance(value, str) else None
    sides = match.groups() if match else value
    if not isinstance(sides, list | tuple) or len(sides) != 2:
        raise _wrong(name, "a size such as 512x512", value)
    width, height = (_number(name, side, 1, MAX_SIDE) for side in sides)
    return width, height


def _side(name: str, value: object) -> int:
    return _number(name, value, 1, MAX_SIDE)


def _seed(name: str, value: object) -> int:
    return _number(name, value, 0, MAX_SEED)


def _number(name: str, value: object, least: int, most: int) -> int:
    number = int(value) if isinstance(value, str) and re.fullmatch(r"\d{1,10}", value.strip()) else value
    if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
        raise _wrong(name, f"a number from {least} to {most}", value)
    return number


def _flag(name: str, value: object) -> bool:
    words = {"true": True, "false": False}
    flag = words.get(value.strip().lower()) if isinstance(value, str) else value
    if not isinstance(flag, bool):
        raise _wrong(name, "true or false", value)
    return flag


def _encode(name: str, value: object) -> Encode:
    try:
        return Encode(value)  # type: ignore[arg-type]  # anything but a name is refused too
    except ValueError:
        raise _wrong(name, ", ".join(Encode), value) from None


def _policy(name: str, value: object) -> Policy:
    return parse_policy(value)


def _split(name: str, value: object) -> dict[str, float]:
    """From "train=.8,val=.2", or a mapping of the same."""
    pairs = [tuple(part.split("=")) for part in value.split(",")] if isinstance(value, str) else value
    pairs = list(pairs.items()) if isinstance(pairs, Mapping) else pairs
    example = "shares such as train=.8,val=.1,test=.1"
    if not isinstance(pairs, list) or any(len(pair) != 2 for pair in pairs):
        raise _wrong(name, example, value)
    shares = {str(word).strip(): _share(name, share) for word, share in pairs}
    # Loaders read both words alike.
    if len(shares) < len(pairs) or shares.keys() - set(SPLITS) or {"val", "validation"} <= shares.keys():
        raise UsageError(f"{name}: expected each of train, val (or validation) and test once at most")
    if abs(sum(shares.values()) - 1) > 0.002:  # three times .333
        raise UsageError(f"{name}: expected shares that sum to 1, got {sum(shares.values()):g}")
    return shares


def _share(name: str, value: object) -> float:
    try:
        share = float(value)  # type: ignore[arg-type]  # what is no number is refused
    except (TypeError, ValueError):
        share = 0
    if not 0 < share <= 1:
        raise _wrong(name, "shares from 0 to 1", value)
    return share


def _words(name: str, value: object) -> tuple[str, ...]:
    """From "a,b" or a list; the order says nothing."""
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) and word.strip() for word in words):
        raise _wrong(name, "words separated by commas", value)
    return tuple(sorted({" ".join(word.split()) for word in words}))


def _wrong(name: str, expected: str, value: object) -> UsageError:
    return UsageError(f"{name}: expected {expected}, got {str(value)[:40]!r}")


_READERS: Mapping[str, Callable[[str, object], Any]] = {
    "resize": _size,
    "max_side": _side,
    "encode": _encode,
    "strip_metadata": _flag,
    "split": _split,
    "rights": _policy,
    "sources": _words,
    "keywords": _words,
    "ultra": _flag,
    "seed": _seed,
}
