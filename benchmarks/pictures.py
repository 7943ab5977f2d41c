"""Pictures to fetch: soft random shapes under grain, compressible like photographs, and no two alike."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from itertools import cycle
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (1024, 768)
BIG = (4000, 3000)  # 12 megapixels, as telephones make them
QUALITY = 85  # with the grain: about 70 kB
GRAIN = 1.8  # grey levels

# Of ten pictures of the mixed set: (format, size).
MIXED = [("jpeg", SIZE)] * 6 + [("png", (640, 480))] * 2 + [("webp", SIZE)] + [("jpeg", BIG)]


def picture(number: int, kind: str = "jpeg", size: tuple[int, int] = SIZE) -> bytes:
    """The file of a picture; the same number is always the same picture."""
    grain = np.random.default_rng(0).normal(0, GRAIN, (size[1], size[0], 1)).astype(np.float32)
    shapes = np.random.default_rng(number).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    soft = np.asarray(Image.fromarray(shapes).resize(size, Image.Resampling.BICUBIC), dtype=np.float32)
    body = BytesIO()
    Image.fromarray((soft + grain).clip(0, 255).astype(np.uint8)).save(body, kind, quality=QUALITY)
    return body.getvalue()


def write(folder: Path, count: int, *, mixed: bool = False) -> list[Path]:
    """Writes so many pictures: JPEGs of about 70 kB, or of several formats and sizes."""
    folder.mkdir(parents=True)
    return [_write_one(folder, n, *form) for n, form in zip(range(count), _forms(mixed), strict=False)]


def _forms(mixed: bool) -> Iterator[tuple[str, tuple[int, int]]]:
    return cycle(MIXED if mixed else MIXED[:1])


def _write_one(folder: Path, number: int, kind: str, size: tuple[int, int]) -> Path:
    path = folder / f"{number:06d}.{ {'jpeg': 'jpg'}.get(kind, kind) }"
    path.write_bytes(picture(number, kind, size))
    return path
