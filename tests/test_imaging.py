from __future__ import annotations

import hashlib
import struct
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import imagehash
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageFilter, ImageOps

from pixcrawler import imaging
from pixcrawler.errors import NotAnImage
from pixcrawler.imaging import inspect, phash
from pixcrawler.items import Figures
from pixcrawler.jobs import Reason
from tests.bombs import bombs
from tests.pictures import animation, encoded, gif_bomb, photo, png

BOMBS = bombs()
SMALL = photo(1, (120, 90))
GOOD = {
    "jpeg": encoded(SMALL, "jpeg"),
    "progressive jpeg": encoded(SMALL, "jpeg", progressive=True),
    "cmyk jpeg": encoded(SMALL.convert("CMYK"), "jpeg"),
    "png": encoded(SMALL, "png"),
    "palette png": encoded(SMALL.quantize(), "png"),
    "animated png": animation("png", 3),
    "gif": encoded(SMALL, "gif"),
    "animated gif": animation("gif", 3),
    "webp": encoded(SMALL, "webp"),
    "lossless webp": encoded(SMALL, "webp", lossless=True),
    "animated webp": animation("webp", 3),
}


def refusal(body: bytes) -> NotAnImage:
    with pytest.raises(NotAnImage) as caught:
        inspect(body)
    assert caught.value.message.strip()
    assert "\n" not in caught.value.message
    return caught.value


def reason(body: bytes) -> str | None:
    try:
        inspect(body)
    except NotAnImage as refused:
        return refused.reason
    return None


def distance(one: int, other: int) -> int:
    return (one ^ other).bit_count()


@pytest.mark.parametrize("name", GOOD)
def test_tells_what_the_file_is(name: str) -> None:
    body = GOOD[name]

    found = inspect(body)

    animated = name.startswith("animated")
    assert (found.width, found.height) == ((64, 48) if animated else (120, 90))
    assert found.frames == (3 if animated else 1)
    assert found.format == name.split()[-1]
    assert found.size == len(body)
    assert found.sha256 == hashlib.sha256(body).hexdigest()
    assert not found.flat


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"
DISGUISED = {
    "nothing": b"",
    "a byte": b"\xff",
    "html": b"<!DOCTYPE html><html>",
    "json": b'{"error": "not found"}',
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg' width='300' height='300'/>",
    "eps": POSTSCRIPT,
    "eps in a frame": b"\xc5\xd0\xd3\xc6" + struct.pack("<II", 32, len(POSTSCRIPT)) + bytes(20) + POSTSCRIPT,
    "psd": b"8BPS" + struct.pack(">H6xHIIHHIIIH", 1, 3, 9, 9, 8, 3, 0, 0, 0, 0) + bytes(243),
    "blp": b"BLP2" + struct.pack("<IBBBBII", 1, 1, 0, 0, 0, 9, 9) + bytes(2048),
    "fits": b"SIMPLE  =                    T".ljust(80) + b"BITPIX  =                    8".ljust(2800) + bytes(81),
    "wave": b"RIFF\x24\x00\x00\x00WAVEfmt ",
    **{kind: encoded(SMALL, kind) for kind in ("tiff", "bmp", "ico", "ppm", "pdf", "jpeg2000", "tga", "avif")},
    "icns": encoded(SMALL.resize((64, 64)), "icns"),
}


@pytest.mark.parametrize("name", DISGUISED)
def test_refuses_everything_but_four_formats(name: str) -> None:
    assert refusal(DISGUISED[name]).reason == Reason.NOT_AN_IMAGE


@pytest.mark.skipif(sys.platform == "win32", reason="the program is a script")
def test_starts_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = tmp_path / "started"
    for name in ("gs", "gswin64c", "convert", "djpeg", "xdg-open"):
        (tmp_path / name).write_text(f"#!/bin/sh\ntouch {started}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    for body in (*DISGUISED.values(), *GOOD.values()):
        reason(body)

    assert not started.exists()


@settings(deadline=None)
@given(st.sampled_from(sorted(GOOD)), st.data())
def test_never_accepts_a_file_that_was_cut(name: str, data: st.DataObject) -> None:
    body = GOOD[name]
    cut = data.draw(st.one_of(st.integers(0, len(body) - 1), st.integers(len(body) - 30, len(body) - 1)))

    assert refusal(body[:cut]).reason in (Reason.DAMAGED, Reason.NOT_AN_IMAGE)


@pytest.mark.parametrize("name", GOOD)
def test_calls_a_file_cut_in_the_middle_or_at_the_last_byte_damaged(name: str) -> None:
    for cut in (len(GOOD[name]) // 2, len(GOOD[name]) - 1):
        assert refusal(GOOD[name][:cut]).reason == Reason.DAMAGED


@pytest.mark.parametrize("name", GOOD)
def test_no_cut_at_any_hundredth_is_accepted(name: str) -> None:
    body = GOOD[name]

    assert None not in [reason(body[: len(body) * percent // 100]) for percent in range(100)]


def test_finds_a_flipped_byte_in_the_pixels_of_a_png() -> None:
    body = bytearray(GOOD["png"])
    body[len(body) // 2] ^= 0xFF

    assert refusal(bytes(body)).reason == Reason.DAMAGED


@settings(deadline=None)
@given(st.sampled_from(sorted(GOOD)), st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=20))
def test_ends_in_a_verdict_whatever_is_overwritten(name: str, changes: list[tuple[int, int]]) -> None:
    body = bytearray(GOOD[name])
    for at, byte in changes:
        body[at % len(body)] = byte

    assert reason(bytes(body)) in (None, Reason.DAMAGED, Reason.NOT_AN_IMAGE, Reason.BOMB)


@settings(deadline=None)
@given(st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\0\1\0\0WEBPVP8L"]), st.binary())
def test_refuses_noise_behind_any_signature(signature: bytes, noise: bytes) -> None:
    refusal(signature + noise)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError("broken\ndata stream"), Reason.DAMAGED),
        (SyntaxError("not a chunk"), Reason.DAMAGED),
        (ValueError(), Reason.DAMAGED),
        (EOFError("no more"), Reason.DAMAGED),
        (struct.error("unpack requires a buffer"), Reason.DAMAGED),
        (NotImplementedError("pixel format"), Reason.DAMAGED),
        (Image.DecompressionBombError("big"), Reason.BOMB),
        (MemoryError(), Reason.BOMB),
    ],
)
def test_names_a_reason_for_whatever_pillow_raises(
    error: Exception, reason: Reason, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)

    assert refusal(GOOD["jpeg"]).reason == reason


def test_takes_a_warning_of_a_bomb_for_a_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 120 * 90 - 1)

    assert refusal(GOOD["jpeg"]).reason == Reason.BOMB


@pytest.mark.parametrize("name", BOMBS)
def test_refuses_a_bomb_before_decoding_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", explode)

    assert refusal(BOMBS[name]).reason == Reason.BOMB


def test_accepts_what_is_just_at_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    assert inspect(gif_bomb(1000)).frames == 1000

    monkeypatch.setattr(imaging, "MAX_PIXELS", 120 * 90)
    assert inspect(GOOD["png"])
    monkeypatch.setattr(imaging, "MAX_PIXELS", 120 * 90 - 1)
    assert refusal(GOOD["png"]).reason == Reason.BOMB


def test_takes_a_multi_picture_jpeg_for_its_first_picture() -> None:
    body = encoded(SMALL, "mpo", save_all=True, append_images=[photo(2, (90, 60))])

    found = inspect(body)

    assert (found.format, found.width, found.frames) == ("jpeg", 120, 1)
    assert refusal(body[: len(body) // 3]).reason == Reason.DAMAGED


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_sees_the_picture_upright(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    lying = encoded(photo(3, (300, 200)), kind, exif=exif)
    with Image.open(BytesIO(lying)) as image:
        upright = ImageOps.exif_transpose(image)

    found = inspect(lying)

    assert (found.width, found.height) == upright.size
    assert found.orientation == orientation
    assert distance(found.phash, inspect(encoded(upright, "png")).phash) <= 2


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("exif", [b"neither order", b"II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x04\0\0\0abc\0\0\0\0\0"])
def test_forgives_broken_exif(kind: str, exif: bytes) -> None:
    assert inspect(encoded(SMALL, kind, exif=b"Exif\0\0" + exif)).width == 120


# Below 32 pixels rows repeat, and rounding errors decide the bits of imagehash.
@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(32, 400), st.integers(32, 400))
def test_hash_has_the_bits_of_imagehash(seed: int, width: int, height: int) -> None:
    grey = photo(seed, (width, height)).convert("L")

    assert phash(grey) == int(str(imagehash.phash(grey)), 16)


@pytest.mark.parametrize("seed", range(4))
def test_hash_hardly_depends_on_how_the_picture_was_decoded(seed: int) -> None:
    picture = photo(seed, (2400, 1700))

    found = inspect(encoded(picture, "jpeg", quality=95))

    assert distance(found.phash, inspect(encoded(picture, "png", compress_level=1)).phash) <= 2
    assert distance(found.phash, int(str(imagehash.phash(picture)), 16)) <= 4


@pytest.mark.parametrize("seed", range(4))
def test_copies_are_near_and_other_pictures_far(seed: int) -> None:
    picture = photo(seed, (900, 675))
    original = inspect(encoded(picture, "jpeg")).phash

    for copy in (
        encoded(picture, "jpeg", quality=40),
        encoded(picture.resize((400, 300)), "webp"),
        encoded(picture.quantize(), "gif"),
    ):
        assert distance(original, inspect(copy).phash) <= 6
    assert distance(original, inspect(encoded(photo(seed + 100, (900, 675)), "jpeg")).phash) > 10


def test_transparency_shows_white_not_the_colours_hidden_below() -> None:
    shape = Image.new("L", (300, 200), 0)
    shape.paste(255, (40, 30, 200, 150))
    seen = Image.composite(photo(5, (300, 200)), Image.new("RGB", (300, 200), "white"), shape)
    looks = set()
    for hidden in ("black", "red", "white"):
        image = Image.composite(photo(5, (300, 200)), Image.new("RGB", (300, 200), hidden), shape)
        image.putalpha(shape)
        looks |= {inspect(encoded(image, kind, **options)).looks for kind, options in LOSSLESS}

    assert looks == {inspect(encoded(seen, "png")).looks}


LOSSLESS: list[tuple[str, dict[str, bool]]] = [("png", {}), ("webp", {"lossless": True, "exact": True})]


def test_reads_the_high_byte_of_sixteen_bits() -> None:
    levels = np.asarray(photo(6, (64, 64)).convert("L"))
    wide = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels.astype(np.uint16) * 256 + 77)
    plain = b"".join(b"\0" + row.tobytes() for row in levels)

    assert inspect(png(64, 64, wide, bits=16)).phash == inspect(png(64, 64, plain)).phash


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "gif"])
def test_calls_a_picture_without_contrast_flat(kind: str) -> None:
    grain = np.random.default_rng(0).integers(120, 126, (200, 200), dtype=np.uint8)

    assert inspect(encoded(Image.new("RGB", (200, 200), "teal"), kind)).flat
    assert inspect(encoded(Image.fromarray(grain).convert("RGB"), kind)).flat
    assert not inspect(encoded(photo(0, (200, 200)), kind)).flat


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "gif"])
def test_measures_how_a_picture_looks(kind: str) -> None:
    picture = grained(photo(7, (600, 450)))

    def figures(image: Image.Image) -> Figures:
        found = inspect(encoded(image.convert("RGB"), kind)).figures
        assert found is not None
        return found

    as_it_is = figures(picture)
    assert figures(picture.filter(ImageFilter.GaussianBlur(4))).sharpness < as_it_is.sharpness / 10
    assert figures(picture.point(lambda level: level // 8)).brightest < 33 < as_it_is.brightest
    assert figures(picture.point(lambda level: 240 + level // 17)).dark > 235 > as_it_is.dark
    assert 4 < as_it_is.entropy < 8
    assert as_it_is.shades > 16
    drawing = Image.new("RGB", (600, 450), (221, 221, 221))
    drawing.paste((136, 136, 136), (250, 200, 350, 250))
    assert figures(drawing).entropy < 1
    assert figures(drawing).shades < 6
    solid = figures(Image.new("RGB", (600, 450), "teal"))
    assert (solid.contrast, solid.shades, round(solid.entropy, 1)) == (0, 1, 0)


def grained(picture: Image.Image) -> Image.Image:
    """As sharp as a photograph is where it is in focus."""
    grain = np.random.default_rng(0).normal(0, 12, (picture.height, picture.width, 1))
    return Image.fromarray((np.asarray(picture) + grain).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("size", [(1, 1), (9, 9), (10, 10), (18, 2000), (2000, 3), (767, 768), (1366, 20)])
@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_measures_pictures_of_any_size(kind: str, size: tuple[int, int]) -> None:
    found = inspect(encoded(photo(8, size), kind))

    assert (found.width, found.height) == size
    assert found.figures is not None
    assert found.figures.sharpness >= 0


def archive() -> bytes:
    """A ZIP."""
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as writer:
        writer.writestr("evil.sh", b"#!/bin/sh\n")
    return file.getvalue()


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        (b"", None),
        (b"\0" * 100, None),
        (b" \r\n", None),
        (archive(), "archive"),
        (b"junk before it" + archive(), "archive"),
        (b"Rar!\x1a\x07\x00...", "archive"),
        (b"<html><script>alert(1)</script>", "page"),
        (b"\n<!-- cached --><?php system($_GET[0]); ?>", "page"),
        (b"*/=1;alert(1)", "data"),
        (b"%PDF-1.7\n", "document"),
        (b"MZ\x90\x00", "program"),
        (b"\x7fELF\x02", "program"),
    ],
)
def test_says_what_comes_after_the_image(name: str, rest: bytes, expected: str | None) -> None:
    assert inspect(GOOD[name] + rest).trailing_data == expected


def test_what_cameras_and_phones_add_is_nothing_of_note() -> None:
    picture, preview = encoded(SMALL), encoded(photo(2, (90, 60)))
    film = b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 9

    for rest in (preview, preview + b"\0\0" + preview, preview + film, film, bytes(range(256)) + b"SEFHx\0\0\0SEFT"):
        assert inspect(picture + rest).trailing_data is None
    assert inspect(encoded(SMALL, "mpo", save_all=True, append_images=[photo(2, (90, 60))])).trailing_data is None
    thumbnailed = encoded(SMALL, exif=b"Exif\0\0" + preview)  # an end marker before the end
    assert inspect(thumbnailed).trailing_data is None
    assert inspect(picture + preview + archive()).trailing_data == "archive"
    assert inspect(picture + preview[:-2] + b"<script>").trailing_data == "page"


def test_looks_behind_the_end_of_a_jpeg_with_restarts_and_fill_bytes() -> None:
    body = encoded(photo(9, (400, 300)), restart_marker_blocks=4)
    filled = body[:-2] + b"\xff\xff\xff\xd9"

    assert inspect(body).trailing_data is None
    assert inspect(filled).trailing_data is None
    assert inspect(filled + b"more").trailing_data == "data"
