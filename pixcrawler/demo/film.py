"""What a camera does to light: bloom, exposure, colour, vignette, grain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from pixcrawler.demo import noise
from pixcrawler.demo.noise import Field


@dataclass(frozen=True, slots=True)
class Film:
    """How light becomes a picture."""

    key: float  # how bright the part that is exposed for becomes
    exposed_for: float  # percentile of brightness
    contrast: float
    warmth: float  # stops
    tint: float  # stops
    colour: float  # 0 is black and white
    vignette: float
    grain: float  # standard deviation; 1 is white
    bloom: float


def blurred(light: Field, radius: float) -> Field:
    """A light field, (height, width, 3), out of focus by `radius` pixels: small first, so that it costs little."""
    height, width = light.shape[:2]
    shrink = max(1, int(radius / 1.5))
    planes = [Image.fromarray(np.ascontiguousarray(light[:, :, channel])).reduce(shrink) for channel in range(3)]
    small = _gauss(np.stack([np.asarray(plane) for plane in planes], axis=2), radius / shrink)
    return enlarged(small, width, height)


def enlarged(light: Field, width: int, height: int) -> Field:
    """A light field at another size, (height, width, 3)."""
    planes = [Image.fromarray(np.ascontiguousarray(light[:, :, channel])) for channel in range(3)]
    return np.stack([np.asarray(plane.resize((width, height), Image.Resampling.BICUBIC)) for plane in planes], axis=2)


def _gauss(values: Field, radius: float) -> Field:
    reach = int(np.ceil(radius * 2.5))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1, dtype=np.float32) / np.float32(radius)) ** 2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        padded = np.pad(values, [(reach, reach) if a == axis else (0, 0) for a in range(3)], mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, len(kernel), axis=axis)
        values = windows @ kernel
    return values


def develop(light: Field, film: Film, size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    """The picture of a light field, (height, width, 3), scaled to `size`."""
    if film.bloom:
        light = light + film.bloom * _glare(light)
    tones = _filmic(light * _gains(light, film) * _vignette(light.shape[:2], film.vignette)[:, :, None])
    grey = tones @ np.array([0.3, 0.59, 0.11], np.float32)
    tones = grey[:, :, None] + (tones - grey[:, :, None]) * film.colour
    tones = 0.5 + (tones - 0.5) * film.contrast
    picture = Image.fromarray((np.clip(tones, 0, 1) * 255).astype(np.uint8))
    picture = picture.filter(ImageFilter.BoxBlur(0.5))  # edges are painted without antialiasing
    return _grainy(picture.resize(size, Image.Resampling.BILINEAR), film.grain, rng)


def _gains(light: Field, film: Film) -> Field:
    """Exposure and white balance, (3,)."""
    brightness = float(np.percentile(light[::4, ::4, 1], film.exposed_for))
    exposure = film.key / max(brightness, 0.02) ** 0.7  # 1 would turn night into day
    return np.exp2(np.array([film.warmth, -film.tint, -film.warmth], np.float32)) * np.float32(exposure)


def _glare(light: Field) -> Field:
    """What bright lights spill around them, near and far."""
    spill = np.clip(light - 1, 0, 6)
    near, far = blurred(spill, light.shape[1] / 90), blurred(spill, light.shape[1] / 22)
    return near + far * np.float32(0.6)


def _filmic(light: Field) -> Field:
    """From 0 to 1, as a display wants it: shadows with a toe, highlights with a shoulder (the ACES fit), gamma."""
    light = np.maximum(light, 0)
    curved = (light * (2.51 * light + 0.03)) / (light * (2.43 * light + 0.59) + 0.14)
    return np.asarray(np.clip(curved, 0, 1) ** (1 / 2.2), np.float32)


def _vignette(shape: tuple[int, ...], strength: float) -> Field:
    y = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, shape[1], dtype=np.float32)[None, :]
    return np.asarray(1 - strength / 2 * (x * x + y * y) ** 1.3, np.float32)


def _grainy(picture: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    width, height = picture.size
    dx, dy = (int(n) for n in rng.integers(0, noise.SIDE, 2))
    tile = np.roll(noise.grain(), (dy, dx), axis=(0, 1)) * np.float32(strength * 255)
    repeats = (-(-height // noise.SIDE), -(-width // noise.SIDE))
    speckle = np.tile(tile, repeats)[:height, :width].astype(np.int16)
    values = np.asarray(picture).astype(np.int16) + speckle[:, :, None]
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
