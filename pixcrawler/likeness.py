"""Whether two pictures are the same one: the rules of each preset, and how fingerprints are compared. Pure.

Codes only propose. A pair of pictures is accepted after its fingerprints were laid over each other, whole upon whole,
and each view upon the whole of the other: see `docs/duplicates.md`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pixcrawler.errors import UsageError
from pixcrawler.looks import CHROMA, FRAME, LUMA, Window, centred, resampling

PIXELS = 32  # a side, of fingerprints laid over each other
_LAID = (1.0, 0.95, 0.9)  # shares of both sides, about the middle, that are laid over the whole of the other
_BLOCK = 4  # pixels a side
_FOREGROUND = 10  # grey levels off the colour of the margin
_COLOURED = 8  # pixels a side, of their colours
_GREY = 3  # levels of colour; with less, a picture has none to speak of
_ALIKE = 0.5  # the cosine between the colours of two pictures
_FADE = 0.98  # the share of a picture's variance that a plane tells; two of that kind are alike but for their ends,
_LIGHT_LEVELS, _COLOUR_LEVELS = 10, 8  # and may differ by so many levels on average
_LUMAS = LUMA * LUMA
_CHROMAS = 2 * CHROMA * CHROMA
FINGERPRINT = _LUMAS + _CHROMAS + 4  # bytes

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Rule:
    """What a pair must come up to, from 0 to 1 each, if its long codes differ in at most `bits` bits of 256."""

    bits: int
    alike: float  # the correlation of their levels of grey,
    foreground: float  # and where either differs from its margin
    blocks: float = 0.0  # the share of blocks of pixels that agree but for brightness and contrast


@dataclass(frozen=True, slots=True)
class Preset:
    """Which pairs are the same picture: those that meet one of the rules."""

    rules: tuple[Rule, ...] = ()
    radius: int = 0  # bits of 64 in which perceptual hashes of a proposed pair may differ
    views: bool = True  # beside the whole pictures

    @property
    def bits(self) -> int:
        """Bits of 256 in which the long codes of a proposed pair may differ."""
        return max(rule.bits for rule in self.rules)


PRESETS = {
    "exact": Preset(),
    "strict": Preset((Rule(90, alike=0.95, foreground=0.93, blocks=0.9),), radius=10, views=False),
    "balanced": Preset(
        (Rule(60, alike=0.85, foreground=0.85), Rule(90, alike=0.93, foreground=0.93, blocks=0.8)), radius=10
    ),
}
DEFAULT = "balanced"


def parse_preset(name: object) -> str:
    """The name itself. Raises `UsageError` for one there is not."""
    if name not in PRESETS:
        raise UsageError(f"duplicates: there is no preset {name!r}; there are {', '.join(PRESETS)}")
    return str(name)


def accepted(preset: Preset, one: bytes, others: Sequence[bytes], distances: NDArray[np.int64]) -> Floats:
    """How alike a fingerprint is to others whose long codes differ in so many bits; 0 where no rule is met."""
    mine, theirs = _views([one], views=preset.views), _views(others, views=preset.views)
    scores, left, right = _best(mine, theirs, views=preset.views)
    foreground, blocks = _foreground(left.luma, right.luma), _blocks(left.luma, right.luma)
    meets = np.zeros(len(others), bool)
    for rule in preset.rules:
        alike = (scores > rule.alike) & (foreground > rule.foreground) & (blocks >= rule.blocks)
        meets |= (distances <= rule.bits) & alike
    fades = _are_fades(left.luma) & _are_fades(right.luma)
    meets &= _colours_agree(left.chroma, right.chroma) & (_same_levels(left, right) | ~fades)
    return np.where(meets, scores, np.float32(0))


def mirrored(fingerprint: bytes) -> bytes:
    """That of the picture as a mirror shows it."""
    luma = np.frombuffer(fingerprint, np.uint8, _LUMAS).reshape(LUMA, LUMA)[:, ::-1]
    chroma = np.frombuffer(fingerprint, np.uint8, _CHROMAS, _LUMAS).reshape(2, CHROMA, CHROMA)[:, :, ::-1]
    top, bottom, left, right = fingerprint[-4:]
    return luma.tobytes() + chroma.tobytes() + bytes((top, bottom, right, left))


@dataclass(frozen=True, slots=True)
class _View:
    """The same part of several pictures, a row for each."""

    luma: Floats
    chroma: Floats  # Cb and Cr, 0 for grey


def _best(mine: list[_View], theirs: list[_View], *, views: bool) -> tuple[Floats, _View, _View]:
    """The correlation of each picture with one in the pair of views where it is best, and that pair.

    One of a pair is whole, or both are what is inside a frame.
    """
    pairs = [(0, other) for other in range(len(theirs))] + [(own, 0) for own in range(1, len(mine))]
    pairs += [(len(mine) - 1, len(theirs) - 1)] if views else []
    ours, others = ([_standard(view.luma) for view in side] for side in (mine, theirs))
    scores = np.stack([others[b] @ ours[a][0] / PIXELS**2 for a, b in pairs])
    best = scores.argmax(axis=0)
    left = [(mine[pairs[at][0]], 0) for at in best]
    right = [(theirs[pairs[at][1]], row) for row, at in enumerate(best)]
    return scores.max(axis=0), _picked(left), _picked(right)


def _picked(rows: list[tuple[_View, int]]) -> _View:
    return _View(np.stack([view.luma[row] for view, row in rows]), np.stack([view.chroma[row] for view, row in rows]))


def _views(fingerprints: Sequence[bytes], *, views: bool) -> list[_View]:
    """The whole; and if views are wanted, the centred ones and last what is inside a frame."""
    bodies = np.frombuffer(b"".join(fingerprints), np.uint8).reshape(-1, FINGERPRINT)
    luma = bodies[:, :_LUMAS].reshape(-1, LUMA, LUMA).astype(np.float32)
    chroma = bodies[:, _LUMAS:-4].reshape(-1, 2, CHROMA, CHROMA).astype(np.float32) - 128
    found = [_part(luma, chroma, centred(share), centred(share)) for share in (_LAID if views else _LAID[:1])]
    if not views:
        return found
    inside = _View(found[0].luma.copy(), found[0].chroma.copy())
    for row in np.flatnonzero(bodies[:, -4:].any(axis=1)):
        top, bottom, left, right = bodies[row, -4:].astype(float) / FRAME
        part = _part(luma[row, np.newaxis], chroma[row, np.newaxis], (top, 1 - bottom), (left, 1 - right))
        inside.luma[row], inside.chroma[row] = part.luma[0], part.chroma[0]
    return [*found, inside]


def _part(luma: Floats, chroma: Floats, down: Window, right: Window) -> _View:
    grey = resampling(down, LUMA, PIXELS) @ luma @ resampling(right, LUMA, PIXELS).T
    colour = resampling(down, CHROMA, _COLOURED) @ chroma @ resampling(right, CHROMA, _COLOURED).T
    return _View(*(part.reshape(len(luma), -1).astype(np.float32, copy=False) for part in (grey, colour)))


def _standard(rows: Floats) -> Floats:
    """Each row with mean 0 and deviation 1."""
    off = rows - rows.mean(axis=1, keepdims=True)
    scaled: Floats = off / np.maximum(np.sqrt((off * off).mean(axis=1, keepdims=True)), 1e-3)
    return scaled


@lru_cache(maxsize=1)
def _margin() -> NDArray[np.intp]:
    inner = np.zeros((PIXELS, PIXELS), bool)
    inner[1:-1, 1:-1] = True
    return np.flatnonzero(~inner)


def _foreground(left: Floats, right: Floats) -> Floats:
    """The correlation where either is off the colour of its margin: white around two things makes them no copies."""
    off = [np.abs(rows - np.median(rows[:, _margin()], axis=1)[:, np.newaxis]) > _FOREGROUND for rows in (left, right)]
    mask = (off[0] | off[1]).astype(np.float32)
    count = np.maximum(mask.sum(axis=1, keepdims=True), 1)
    a, b = ((rows - (rows * mask).sum(axis=1, keepdims=True) / count) * mask for rows in (left, right))
    norm = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    found: Floats = (a * b).sum(axis=1) / np.maximum(norm, 1e-3)
    return found


def _blocks(left: Floats, right: Floats) -> Floats:
    """The share of blocks that, but for brightness and contrast of the whole, differ by less than half a deviation."""
    side = PIXELS // _BLOCK
    off = (_standard(left) - _standard(right)).reshape(-1, side, _BLOCK, side, _BLOCK)
    agree = np.sqrt((off * off).mean(axis=(2, 4))) < 0.5
    return np.asarray(agree.mean(axis=(1, 2)), np.float32)


def _colours_agree(left: Floats, right: Floats) -> NDArray[np.bool_]:
    """Whether colours point the same way, or do but for a tint of the whole, or a picture hardly has any."""
    tinted = [_untinted(rows) for rows in (left, right)]
    grey = (_strength(left) < _GREY) | (_strength(right) < _GREY)
    alike = _cosine(left, right) > _ALIKE
    alike_but_for_a_tint = (_cosine(*tinted) > _ALIKE) & (np.minimum(*map(_strength, tinted)) >= _GREY)
    agree: NDArray[np.bool_] = alike | alike_but_for_a_tint | grey
    return agree


def _are_fades(luma: Floats) -> NDArray[np.bool_]:
    """Which pictures go from one level to another and show nothing else, as some skies do."""
    squares = _standard(luma).reshape(-1, PIXELS, PIXELS)
    line = np.linspace(-1, 1, PIXELS, dtype=np.float32)
    line /= np.sqrt((line * line).mean())
    down, right = (squares.mean(axis=axis) @ line / PIXELS for axis in (2, 1))
    fades: NDArray[np.bool_] = down * down + right * right > _FADE
    return fades


def _same_levels(left: _View, right: _View) -> NDArray[np.bool_]:
    """Whether light and colours are the same, and not only run the same way."""
    light = np.abs(left.luma - right.luma).mean(axis=1) <= _LIGHT_LEVELS
    colours = np.abs(left.chroma - right.chroma).mean(axis=1) <= _COLOUR_LEVELS
    same: NDArray[np.bool_] = light & colours
    return same


def _untinted(chroma: Floats) -> Floats:
    planes = chroma.reshape(len(chroma), 2, -1)
    rest: Floats = (planes - planes.mean(axis=2, keepdims=True)).reshape(len(chroma), -1)
    return rest


def _strength(chroma: Floats) -> Floats:
    size: Floats = np.sqrt((chroma * chroma).mean(axis=1))
    return size


def _cosine(left: Floats, right: Floats) -> Floats:
    cosine: Floats = (left * right).mean(axis=1) / np.maximum(_strength(left) * _strength(right), 1e-3)
    return cosine
