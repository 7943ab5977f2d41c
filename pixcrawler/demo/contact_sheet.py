"""Draws many pictures on one sheet, to be judged at a glance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

GROUND, INK, FAINT = (18, 18, 20), (236, 236, 232), (150, 150, 148)
CELL = (240, 180)  # pixels; pictures are cropped to this shape
GAP, MARGIN = 4, 32
TITLE_SIZE, LINE_SIZE = 30, 17
WIDEST = 12  # columns; more make the sheet wider than screens are


def write(
    image_paths: Sequence[Path], out: Path, *, columns: int | None = None, title_lines: Sequence[str] = ()
) -> None:
    """Writes a PNG with a thumbnail of each picture, row by row, under its title; the first line is the largest.

    Raises `OSError` for a picture that cannot be read or a sheet that cannot be written.
    """
    columns = columns or _columns(len(image_paths))
    rows = -(-len(image_paths) // columns)
    head = _head_height(title_lines)
    width = 2 * MARGIN + columns * (CELL[0] + GAP) - GAP
    sheet = Image.new("RGB", (width, head + MARGIN + max(0, rows * (CELL[1] + GAP) - GAP)), GROUND)
    _draw_title(sheet, title_lines)
    for number, path in enumerate(image_paths):
        row, column = divmod(number, columns)
        sheet.paste(_thumbnail(path), (MARGIN + column * (CELL[0] + GAP), head + row * (CELL[1] + GAP)))
    sheet.save(out, "PNG")


def _columns(pictures: int) -> int:
    """As many as make a sheet about half as wide again as high."""
    return max(1, min(WIDEST, round(math.sqrt(pictures * 1.5 * CELL[1] / CELL[0]))))


def _thumbnail(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        picture.draft("RGB", (CELL[0] * 2, CELL[1] * 2))  # JPEGs are decoded no larger than needed
        upright = ImageOps.exif_transpose(picture).convert("RGB")
    return ImageOps.fit(upright, CELL, Image.Resampling.LANCZOS)


def _head_height(lines: Sequence[str]) -> int:
    return MARGIN + (TITLE_SIZE + 14 + (len(lines) - 1) * (LINE_SIZE + 8) + MARGIN // 2 if lines else 0)


def _draw_title(sheet: Image.Image, lines: Sequence[str]) -> None:
    draw, y = ImageDraw.Draw(sheet), MARGIN
    for number, line in enumerate(lines):
        size = LINE_SIZE if number else TITLE_SIZE
        draw.text((MARGIN, y), line, fill=FAINT if number else INK, font=ImageFont.load_default(size))
        y += size + (8 if number else 14)
