"""The contact sheet: every picture, in order, on one PNG."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from pixcrawler.demo import contact_sheet
from pixcrawler.demo.contact_sheet import CELL, GAP, GROUND, MARGIN

COLOURS = [(200, 40, 40), (40, 200, 40), (40, 40, 200), (200, 200, 40), (40, 200, 200)]


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    made = []
    for number, colour in enumerate(COLOURS):
        made.append(tmp_path / f"{number}.png")
        Image.new("RGB", (300 + 100 * number, 400), colour).save(made[-1])
    return made


def drawn(sheet: Path) -> Image.Image:
    with Image.open(sheet) as picture:
        assert picture.format == "PNG"
        return picture.convert("RGB")


def test_shows_every_picture_in_order(paths: list[Path], tmp_path: Path) -> None:
    contact_sheet.write(paths, tmp_path / "sheet.png", columns=2)
    sheet = drawn(tmp_path / "sheet.png")
    for number, colour in enumerate(COLOURS):
        row, column = divmod(number, 2)
        left, top = MARGIN + column * (CELL[0] + GAP), MARGIN + row * (CELL[1] + GAP)
        cell = sheet.crop((left, top, left + CELL[0], top + CELL[1]))
        assert cell.getcolors() == [(CELL[0] * CELL[1], colour)]
    assert sheet.getpixel((sheet.width - MARGIN - 9, sheet.height - MARGIN - 9)) == GROUND


def test_a_title_stands_above_the_pictures(paths: list[Path], tmp_path: Path) -> None:
    contact_sheet.write(paths, tmp_path / "plain.png")
    contact_sheet.write(paths, tmp_path / "titled.png", title_lines=("120 pictures", "mountain lake · city night"))
    plain, titled = drawn(tmp_path / "plain.png"), drawn(tmp_path / "titled.png")
    assert titled.height > plain.height
    head = titled.crop((0, 0, titled.width, titled.height - plain.height + MARGIN))
    assert len(head.getcolors(1 << 16) or ()) > 2


def test_takes_every_kind_of_picture(tmp_path: Path) -> None:
    kinds = {"grey.jpg": "L", "print.jpg": "CMYK", "palette.png": "P", "clear.webp": "RGBA"}
    for name, mode in kinds.items():
        Image.new(mode, (320, 240)).save(tmp_path / name)
    contact_sheet.write([tmp_path / name for name in kinds], tmp_path / "sheet.png")
    assert drawn(tmp_path / "sheet.png").width > CELL[0]


def test_many_pictures_make_a_sheet_that_fits_a_screen(paths: list[Path], tmp_path: Path) -> None:
    contact_sheet.write(paths * 24, tmp_path / "sheet.png")
    sheet = drawn(tmp_path / "sheet.png")
    assert 1.2 < sheet.width / sheet.height < 2


def test_no_pictures_make_an_empty_sheet(tmp_path: Path) -> None:
    contact_sheet.write([], tmp_path / "sheet.png", title_lines=("Nothing was kept",))
    assert drawn(tmp_path / "sheet.png").width > CELL[0]


def test_a_file_that_is_no_picture_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "page.jpg").write_text("<html>")
    with pytest.raises(OSError, match=r"page\.jpg"):
        contact_sheet.write([tmp_path / "page.jpg"], tmp_path / "sheet.png")
