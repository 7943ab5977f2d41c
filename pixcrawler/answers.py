"""What a worker that has decoded a stranger's bytes may answer: the picture may have taken it over."""

from __future__ import annotations

import io
import pickle
import re
import sys
from dataclasses import is_dataclass
from enum import Enum
from math import isfinite
from typing import Any

from pixcrawler.errors import NotAnImage
from pixcrawler.items import Figures, Inspection, Looks
from pixcrawler.jobs import Reason
from pixcrawler.likeness import FINGERPRINT
from pixcrawler.looks import CODE, VIEWS
from pixcrawler.quality import FORMATS

_REASONS = frozenset({Reason.NOT_AN_IMAGE, Reason.DAMAGED, Reason.BOMB})
_LARGEST = 2**31  # what the database takes for a number
_WORD = re.compile(r"[ -~]{1,200}")


class Foreign(Exception):
    """Not what an honest worker answers."""

    def __init__(self) -> None:
        super().__init__("made its worker answer what none answers")


def unpacked(answer: bytes) -> tuple[bool, Any]:
    """Whether a worker came to a result, and that, or what was raised. Raises `Foreign`."""
    try:
        done, found = _Unpickler(io.BytesIO(answer)).load()
    except Exception:  # a pickle can raise anything
        raise Foreign from None
    if done is not True and not _can_be_raised(found):
        raise Foreign
    return done is True, found


def checked(found: object) -> Inspection:
    """What `imaging.look_into` found, if an honest worker could have found it in any picture. Raises `Foreign`."""
    try:
        if isinstance(found, Inspection) and _is_sound(found):
            return found
    except Exception:  # fields that are not there, or of another kind
        raise Foreign from None
    raise Foreign


class _Unpickler(pickle.Unpickler):
    """Makes nothing but what an honest worker sends."""

    def find_class(self, module: str, name: str) -> Any:
        found = getattr(sys.modules.get(module), name, None)
        if isinstance(found, type) and found.__module__ == module and _is_plain(found):
            return found
        raise pickle.UnpicklingError


def _is_plain(kind: type) -> bool:
    if issubclass(kind, Exception):  # others of ours mean something to the crawl
        return kind is NotAnImage or kind.__module__ == "builtins"
    return kind.__module__.startswith("pixcrawler.") and (is_dataclass(kind) or issubclass(kind, (Enum, tuple)))


def _can_be_raised(found: object) -> bool:
    if isinstance(found, NotAnImage):
        return vars(found).get("reason") in _REASONS and isinstance(vars(found).get("message"), str)
    return isinstance(found, Exception)


def _is_sound(found: Inspection) -> bool:
    counts = (found.width, found.height, found.frames, found.orientation)
    return (
        found.format in FORMATS
        and all(type(count) is int and 0 < count < _LARGEST for count in counts)
        and type(found.phash) is int
        and 0 <= found.phash < 2**64
        and type(found.flat) is bool
        and type(found.gps) is bool
        and all(word is None or _WORD.fullmatch(word) for word in (found.trailing_data, found.data_mining))
        and (found.figures is None or _are_sound(found.figures))
        and (found.looks is None or _can_be_compared(found.looks))
    )


def _are_sound(figures: Figures) -> bool:
    return type(figures) is Figures and all(
        type(figure) in (int, float) and isfinite(figure) and 0 <= figure < _LARGEST for figure in figures
    )


def _can_be_compared(looks: Looks) -> bool:
    views, rest = divmod(len(looks.codes), CODE)
    return (
        type(looks) is Looks
        and type(looks.codes) is type(looks.fingerprint) is bytes
        and rest == 0
        and len(VIEWS) <= views <= len(VIEWS) + 1
        and len(looks.fingerprint) == FINGERPRINT
    )
