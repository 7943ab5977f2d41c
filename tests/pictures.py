"""Pictures for tests: photo-like ones that hash well, and files nobody should accept."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image


def photo(seed: int = 0, size: tuple[int, int] = (640, 480)) -> Image.Image:
    """A picture with light and shade at every scale, as photographs have; RGB."""
    random = np.random.default_rng(seed)
    width, height = size
    pixels = np.full((height, width, 3), 128.0)
    for cells in (4, 8, 16, 32, 64, 128):
        rough = random.normal(scale=64 / cells**0.5, size=(cells, cells, 3))
        planes = [Image.fromarray(rough[:, :, band].astype(np.float32)) for band in range(3)]
        pixels += np.stack([plane.resize(size, Image.Resampling.BICUBIC) for plane in planes], axis=-1)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "jpeg", **options: Any) -> bytes:
    """The bytes of a file of this format: "jpeg", "png", "webp" or "gif"."""
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def animation(kind: str, frames: int, size: tuple[int, int] = (64, 48)) -> bytes:
    """A file of `frames` different pictures."""
    first, *rest = [photo(seed, size) for seed in range(frames)]
    return encoded(first, kind, save_all=True, append_images=rest)


def png(width: int, height: int, rows: bytes, *, bits: int = 8, color: int = 0, extra: bytes = b"") -> bytes:
    """A PNG from its parts: filtered rows, bit depth, colour type, and chunks before the pixels."""
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def chunk(name: bytes, data: bytes) -> bytes:
    """A PNG chunk."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_bomb() -> bytes:
    """140 kB that claim and hold 144 million pixels."""
    return png(12000, 12000, bytes(12001 * 12000))


def webp_bomb(width: int = 16383, height: int = 10900) -> bytes:
    """34 bytes that claim so many pixels."""
    pixels = b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + bytes(9)
    riff = b"WEBP" + b"VP8L" + struct.pack("<I", len(pixels)) + pixels
    return b"RIFF" + struct.pack("<I", len(riff)) + riff


def gif_bomb(frames: int) -> bytes:
    """A GIF of so many frames of one pixel, 15 bytes each."""
    header = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(3) + b"\xff" * 3
    frame = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return header + frame * frames + b";"
