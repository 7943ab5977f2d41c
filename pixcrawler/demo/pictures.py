"""Pictures that pass for photographs, painted from a seed: the same seed gives the same picture."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from typing import Literal

import numpy as np
from PIL import Image

from pixcrawler.demo import city, film, foreground, mountains, streets
from pixcrawler.demo.noise import Field

Filetype = Literal["jpg", "png", "webp"]
Change = Literal["recompressed", "resized", "cropped", "brighter"]

SIZES = (
    (640, 480), (800, 533), (800, 600), (1024, 683), (960, 640),
    (640, 640), (600, 800), (683, 1024), (1024, 576), (1280, 853),
)  # fmt: skip
PAINTED = 500  # pixels of the longer side; what is larger is enlarged, which nobody sees under the grain
FOREGROUNDS: tuple[foreground.Shape | None, ...] = (
    None, None, foreground.pines, foreground.pines, foreground.bank, foreground.stones, foreground.jetty,
)  # fmt: skip


def size(keyword: str, seed: int, filetype: Filetype = "jpg") -> tuple[int, int]:
    """Width and height of a picture, without painting it."""
    width, height = SIZES[_rng(keyword, seed).integers(len(SIZES))]
    if filetype == "png":  # losslessly packed grain is large
        return width // 2, height // 2
    return width, height


def paint(keyword: str, seed: int, filetype: Filetype = "jpg") -> Image.Image:
    """The picture of a keyword and a seed, RGB. Raises `KeyError` for a keyword nobody paints."""
    rng = _rng(keyword, seed)
    rng.integers(len(SIZES))
    width, height = size(keyword, seed, filetype)
    scale = min(1.0, PAINTED / max(width, height))
    light = PAINTERS[keyword](rng, int(width * scale), int(height * scale))
    return film.develop(light, _film(rng, keyword), (width, height), rng)


def changed(picture: Image.Image, change: Change) -> Image.Image:
    """A picture as others pass it on: hardly different to the eye, different in every byte."""
    width, height = picture.size
    match change:
        case "recompressed":
            return picture
        case "resized":
            return picture.resize((width * 3 // 4, height * 3 // 4), Image.Resampling.LANCZOS)
        case "cropped":
            return picture.crop((width // 100, height // 100, width - width // 100, height - height // 100))
        case "brighter":
            return picture.point(lambda value: min(255, int(value * 1.08 + 4)))


def encode(picture: Image.Image, filetype: Filetype, quality: int) -> bytes:
    """The bytes of a picture file; PNGs have a palette."""
    out = io.BytesIO()
    match filetype:
        case "jpg":
            picture.save(out, "JPEG", quality=quality)
        case "webp":
            picture.save(out, "WEBP", quality=quality, method=2)
        case "png":
            picture.quantize(256, Image.Quantize.FASTOCTREE).save(out, "PNG")
    return out.getvalue()


def _mountain_lake(rng: np.random.Generator, width: int, height: int) -> Field:
    light = mountains.light(rng, width, height)
    shape = FOREGROUNDS[rng.integers(len(FOREGROUNDS))]
    if shape:
        ambient = light[:: max(1, height // 20), :: max(1, width // 20)].mean(axis=(0, 1))
        foreground.place(rng, light, shape, ambient * np.float32(rng.uniform(0.03, 0.13)))
    return light


def _city_night(rng: np.random.Generator, width: int, height: int) -> Field:
    views = (city.skyline, city.from_above, streets.canyon, streets.out_of_focus)
    return views[rng.integers(len(views))](rng, width, height)


PAINTERS: dict[str, Callable[[np.random.Generator, int, int], Field]] = {
    "mountain lake": _mountain_lake,
    "city night": _city_night,
}


def _film(rng: np.random.Generator, keyword: str) -> film.Film:
    night = keyword == "city night"
    return film.Film(
        key=rng.uniform(0.5, 1.1) if night else rng.uniform(0.55, 0.95),
        exposed_for=98.5 if night else 92,
        contrast=rng.uniform(1.0, 1.22),
        warmth=rng.normal(0, 0.12),
        tint=rng.normal(0, 0.04),
        colour=0.0 if rng.random() < 0.08 else rng.uniform(0.75, 1.15),
        vignette=rng.uniform(0.0, 0.5),
        grain=rng.uniform(0.003, 0.011),
        bloom=rng.uniform(0.3, 0.7) if night else 0.0,
    )


def _rng(keyword: str, seed: int) -> np.random.Generator:
    return np.random.default_rng([zlib.crc32(keyword.encode()), seed])
