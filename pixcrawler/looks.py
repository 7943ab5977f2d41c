"""What a picture is recognised by: codes of views of it, and its fingerprint in small. Pure.

All are made from one square thumbnail. The views are the whole picture, its middle, and what is inside a frame, bars or
a caption where there are any. So a copy that lost its margins, or was given some, shares a view with the original.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pixcrawler.items import Looks

SIDE = 96  # pixels of the thumbnail; twice what the fastest wave below asks for, and a little
VIEWS = (1.0, 0.9)  # shares of both sides, about the middle; one between them would find 1 % more of the cropped
FAST = 16  # waves a side that make the long code of 256 bits, and
SLOW = 8  # those of the perceptual hash
CODE = 40  # bytes for each view: the slow waves and the fast ones, a bit each
LUMA = 36  # pixels a side of the fingerprint, as many as let four rows of the table fit a page of PostgreSQL
CHROMA = 12
FRAME = 255  # parts of a side in which a trimmed view is written down

Levels = NDArray[np.uint8]
Kind = TypeVar("Kind", np.float32, np.float64)
Window = tuple[float, float]  # where a view begins and ends, as shares of a side

_WHOLE: Window = (0.0, 1.0)
_SAME = 10  # grey levels within which a line is of one colour, compression included
_EDGE = 16  # levels that what is inside a frame differs from it, at least,
_EDGE_SHARE = 0.6  # in most of the line
_LINE_SHARE = 0.9  # of a line of the frame, and
_FRAME_SHARE = 0.6  # of all of it, is of its colour: the rest is a caption
_DEEPEST = 0.4  # of the picture may be frame on one side
_LEAST = 0.3  # of a side is left inside
_NOISE_DIGITS = 3  # of sums of up to 2 million; what is less decides bits of plain pictures


def look(grey: Levels, colours: Levels, phash: int) -> Looks:
    """The codes and the fingerprint of a picture.

    `grey` has 96x96 pixels, `colours` 2x12x12: Cb and Cr. `phash` is the perceptual hash of the whole, unsigned.
    """
    level = grey.astype(np.float32)
    frame = trimmed(grey)
    codes = _codes(level, _CENTRED, _CENTRED)
    if frame is not None:
        codes = np.concatenate((codes, _codes(level, _waves(frame[0])[np.newaxis], _waves(frame[1])[np.newaxis])))
    codes[0, :SLOW] = np.frombuffer(phash.to_bytes(SLOW, "big"), np.uint8)
    shrink = resampling(_WHOLE, SIDE, LUMA)
    small = np.rint(shrink @ level @ shrink.T).astype(np.uint8)
    return Looks(codes.tobytes(), small.tobytes() + colours.tobytes() + _written(frame))


def trimmed(grey: Levels) -> tuple[Window, Window] | None:
    """What is inside a frame, bars or a caption: the window down, and that to the right. None without them."""
    lines = np.stack((grey[0], grey[-1], grey[:, 0], grey[:, -1])).astype(np.int16)
    colours = np.sort(lines, axis=1)[:, SIDE // 2]
    plain = (np.abs(lines - colours[:, np.newaxis]) <= _SAME).mean(axis=1) >= _LINE_SHARE
    if not plain.any():
        return None
    sides = (grey, grey[::-1], grey.T, grey.T[::-1])
    top, bottom, left, right = (
        _depth(side, colour) if is_plain else 0.0 for side, colour, is_plain in zip(sides, colours, plain, strict=True)
    )
    if not any((top, bottom, left, right)) or 1 - top - bottom < _LEAST or 1 - left - right < _LEAST:
        return None
    return (top, 1 - bottom), (left, 1 - right)


def _depth(lines: Levels, colour: np.int16) -> float:
    """How far the frame reaches in from the first line, as a share; 0 if it does not end in a sharp edge."""
    away = np.abs(lines[: int(SIDE * _DEEPEST) + 2].astype(np.int16) - colour)
    plain = (away <= _SAME).mean(axis=1)
    edge = (away >= _EDGE).mean(axis=1) >= _EDGE_SHARE
    deep = np.arange(1, len(away) - 1)
    share = np.cumsum(plain)[deep - 1] / deep
    ends = (plain[deep - 1] >= _LINE_SHARE) & (edge[deep] | edge[deep + 1]) & (share >= _FRAME_SHARE)
    if not ends.any():
        return 0.0
    last = int(deep[ends][-1])
    return (last if edge[last] else last + 0.5) / SIDE


def _codes(level: NDArray[np.float32], down: NDArray[np.float32], right: NDArray[np.float32]) -> Levels:
    """For each view 8 bytes of slow waves and 32 of faster ones, from one product for all views."""
    half = (down.reshape(-1, SIDE) @ level).reshape(len(down), -1, SIDE)
    waves: NDArray[np.float32] = np.round(half @ right.transpose(0, 2, 1), _NOISE_DIGITS)
    slow: NDArray[np.float32] = waves[:, :SLOW, :SLOW].reshape(len(waves), -1)
    fast: NDArray[np.float32] = waves[:, 1:, 1:].reshape(len(waves), -1)
    bits = np.concatenate((slow > middle(slow), fast > middle(fast)), axis=1)
    return np.packbits(bits, axis=1)


def middle(waves: NDArray[Kind]) -> NDArray[Kind]:
    """The median of each row, of an even number, half as dear as `np.median`."""
    half = waves.shape[1] // 2
    halves = np.partition(waves, (half - 1, half), axis=1)[:, half - 1 : half + 1]
    means: NDArray[Kind] = halves.mean(axis=1, keepdims=True)
    return means


@lru_cache(maxsize=512)
def _waves(window: Window) -> NDArray[np.float32]:
    """Cosines over a window of a side, one wave a row, the constant one first: integrals over each pixel."""
    begin, end = (SIDE * at for at in window)
    edges = np.clip(np.arange(SIDE + 1), begin, end)
    waves = np.arange(1, FAST + 1)[:, np.newaxis] * np.pi / (end - begin)
    sums = np.sin(waves * (edges - begin)) / waves
    rows = np.concatenate((edges[np.newaxis], sums))
    return np.diff(rows, axis=1).astype(np.float32)


@lru_cache(maxsize=512)
def resampling(window: Window, pixels: int, wanted: int) -> NDArray[np.float32]:
    """What makes `wanted` pixels of a window of a side of `pixels`: each the mean of what it covers."""
    edges = pixels * np.linspace(*window, wanted + 1)
    reach = np.clip(edges[:, np.newaxis] - np.arange(pixels), 0, 1)
    covered = np.diff(reach, axis=0)
    return (covered / covered.sum(axis=1, keepdims=True)).astype(np.float32)  # type: ignore[no-any-return]


def centred(share: float) -> Window:
    """The window of a view about the middle."""
    return (1 - share) / 2, (1 + share) / 2


_CENTRED = np.stack([_waves(centred(share)) for share in VIEWS])


def _written(frame: tuple[Window, Window] | None) -> bytes:
    if frame is None:
        return bytes(4)
    (top, bottom), (left, right) = frame
    return bytes(round(FRAME * depth) for depth in (top, 1 - bottom, left, 1 - right))
