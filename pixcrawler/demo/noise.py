"""Fractal noise the scenes are made of: periodic tiles, made once and looked up anywhere."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
Cells = npt.NDArray[np.int64]

SIDE = 512  # a power of two, so that wrapping is one bitwise and
OCTAVES = 7  # down to four texels


@lru_cache(maxsize=1)
def cloudy() -> Field:
    """A periodic tile of soft fractal noise, (512, 512), mean 0, standard deviation 1."""
    return _tile(np.random.default_rng(11), lambda frequency: frequency**-1.75)


@lru_cache(maxsize=1)
def rough() -> Field:
    """A periodic tile of noise with much fine detail, (512, 512), mean 0, standard deviation 1."""
    return _tile(np.random.default_rng(12), lambda frequency: frequency**-1.1)


@lru_cache(maxsize=1)
def grain() -> Field:
    """Noise as film has it, hardly correlated between neighbours, (512, 512), mean 0, standard deviation 1."""
    return _tile(np.random.default_rng(13), lambda frequency: np.exp(-((frequency / 190) ** 2)))


@lru_cache(maxsize=1)
def ridged() -> Field:
    """A periodic tile of mountain ridges, (512, 512), from 0 to 1: sharp crests, smooth valleys."""
    rng = np.random.default_rng(14)
    total = np.zeros((SIDE, SIDE), np.float32)
    weight: Field = np.ones_like(total)
    for octave in range(OCTAVES):
        band = _tile(rng, _octave(2.0 * 2**octave))
        crest = np.clip(1 - np.abs(band) * 0.8, 0, 1) ** 2 * weight
        total += crest * np.float32(0.42**octave)
        weight = np.clip(crest * 1.6, 0.15, 1)  # valleys stay smooth, as erosion leaves them
    total -= total.min()
    return np.asarray(total / total.max(), np.float32)


def look_up(tile: Field, u: Field, v: Field) -> Field:
    """The tile at texel coordinates (v, u), bilinear, periodic; the shape is that of `u`."""
    left, top = np.floor(u), np.floor(v)
    across, down = u - left, v - top
    x, y = left.astype(np.int32), top.astype(np.int32)
    flat = tile.ravel()
    x0, x1 = x & (SIDE - 1), (x + 1) & (SIDE - 1)
    y0, y1 = (y & (SIDE - 1)) * SIDE, ((y + 1) & (SIDE - 1)) * SIDE
    above = flat.take(y0 + x0) * (1 - across) + flat.take(y0 + x1) * across
    below = flat.take(y1 + x0) * (1 - across) + flat.take(y1 + x1) * across
    return np.asarray(above * (1 - down) + below * down, np.float32)


def chance(cells: Cells) -> Field:
    """A number from 0 to 1 for each cell, which depends on nothing but the cell's number."""
    mixed = cells.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)  # the multipliers of splitmix64
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    return (mixed >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24)


def cells(*coordinates: Field) -> Cells:
    """One number for each combination of whole coordinates."""
    number = np.zeros((), np.int64)
    for coordinate in coordinates:
        number = number * 1_000_003 + np.floor(coordinate).astype(np.int64)
    return number


def _octave(centre: float) -> Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]:
    return lambda frequency: np.exp(-(np.log2(frequency / centre) ** 2) * 2)


def _tile(rng: np.random.Generator, amplitude: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]) -> Field:
    """White noise filtered by `amplitude`, a function of waves per tile."""
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None, :]) * SIDE
    frequency[0, 0] = 1
    spectrum = np.fft.rfft2(rng.standard_normal((SIDE, SIDE))) * amplitude(frequency)
    spectrum[0, 0] = 0
    field = np.fft.irfft2(spectrum, s=(SIDE, SIDE))
    return np.asarray(field / field.std(), np.float32)
