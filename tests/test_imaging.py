from __future__ import annotations

import hashlib
import struct
from io import BytesIO

import imagehash
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps

from pixcrawler import imaging
from pixcrawler.errors import NotAnImage
from pixcrawler.imaging import inspect, phash, verdict
from pixcrawler.items import Inspection
from pixcrawler.jobs import Reason
from tests.pictures import animation, chunk, encoded, gif_bomb, photo, png, png_bomb, webp_bomb

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


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"<!DOCTYPE html><html>",
        b"<svg xmlns='http://www.w3.org/2000/svg' width='300' height='300'/>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"RIFF\x24\x00\x00\x00WAVEfmt ",
        *(encoded(SMALL, kind) for kind in ("tiff", "bmp", "ico", "ppm", "pdf", "jpeg2000", "tga", "avif")),
    ],
    ids=lambda body: repr(body[:12]),
)
def test_refuses_everything_but_four_formats(body: bytes) -> None:
    assert refusal(body).reason == Reason.NOT_AN_IMAGE


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


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(png_bomb(), id="144 megapixels"),
        pytest.param(webp_bomb(), id="34 bytes"),
        pytest.param(gif_bomb(1001), id="gif frames"),
        pytest.param(png(8, 8, bytes(72), extra=chunk(b"acTL", struct.pack(">II", 1001, 0))), id="png frames"),
    ],
)
def test_refuses_a_bomb_before_decoding_it(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", explode)

    assert refusal(body).reason == Reason.BOMB


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
    hashes = set()
    for hidden in ("black", "red", "white"):
        image = Image.composite(photo(5, (300, 200)), Image.new("RGB", (300, 200), hidden), shape)
        image.putalpha(shape)
        hashes |= {inspect(encoded(image, kind, **options)).phash for kind, options in LOSSLESS}

    assert hashes == {inspect(encoded(seen, "png")).phash}


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


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (200, 200, None),
        (199, 400, Reason.TOO_SMALL),
        (400, 199, Reason.TOO_SMALL),
        (600, 200, None),
        (601, 200, Reason.ASPECT),
        (200, 601, Reason.ASPECT),
        (10, 1000, Reason.TOO_SMALL),
    ],
)
def test_verdict(width: int, height: int, expected: Reason | None) -> None:
    found = Inspection("0" * 64, 1, "jpeg", width, height, 1, 0, False)

    assert verdict(found, min_side=200, max_aspect=3.0) is expected
