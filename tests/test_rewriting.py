"""Smaller pictures, other formats, no metadata: what a viewer then sees, and what is left in the file."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pictures import animation, encoded, photo
from PIL import ExifTags, Image, ImageCms, ImageDraw, ImageOps, PngImagePlugin

from pixcrawler import answers
from pixcrawler.errors import NotAnImage
from pixcrawler.export_options import Encode
from pixcrawler.inspectors import Inspectors
from pixcrawler.rewriting import Recipe, Rewritten, credible, rewrite
from pixcrawler.stripping import stripped

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><secret/></x:xmpmeta>'
SECRET = b"secret"


def recipe(**given: Any) -> Recipe:
    plain: dict[str, Any] = {"resize": None, "max_side": None, "encode": Encode.KEEP, "strip_metadata": False}
    return Recipe(**plain | given)


def changed(body: bytes, **given: Any) -> Rewritten:
    done = rewrite(recipe(**given), body)
    assert done is not None
    return done


def opened(body: bytes) -> Image.Image:
    image = Image.open(BytesIO(body))
    image.load()
    return image


def far_apart(one: Image.Image, other: Image.Image) -> float:
    """The mean difference of two pictures as seen on white, in levels of 255."""
    left, right = (np.asarray(image.convert("RGB"), dtype=float) for image in (one, other))
    return float(np.abs(left - right).mean())


def exif(orientation: int = 1) -> Image.Exif:
    told = Image.Exif()
    told[ExifTags.Base.Orientation] = orientation
    told[ExifTags.Base.Artist] = SECRET.decode()
    told.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (48.0, 12.0, 0.0)
    return told


def quadrants(size: tuple[int, int] = (64, 48)) -> Image.Image:
    """Red, green, blue, white: every orientation looks different."""
    image = Image.new("RGB", size)
    draw = ImageDraw.Draw(image)
    half = size[0] // 2, size[1] // 2
    for corner, colour in (((0, 0), "red"), ((half[0], 0), "green"), ((0, half[1]), "blue"), (half, "white")):
        draw.rectangle((*corner, corner[0] + half[0] - 1, corner[1] + half[1] - 1), fill=colour)
    return image


def told_everything(kind: str) -> bytes:
    """A file that says a secret in every way its format knows."""
    image = photo(1, (64, 48))
    more: dict[str, Any] = {"exif": exif(), "xmp": XMP}
    if kind == "jpeg":
        more["comment"] = SECRET
    if kind == "png":
        texts = PngImagePlugin.PngInfo()
        texts.add_text("Comment", SECRET.decode())
        texts.add_itxt("XML:com.adobe.xmp", XMP.decode())
        more = {"exif": exif(), "pnginfo": texts}
    if kind == "gif":
        more = {"comment": SECRET}
    body = encoded(image, kind, **more)
    if kind == "jpeg":  # IPTC has a segment of its own
        iptc = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x0b\x1c\x02\x78\0\x06" + SECRET + b"\0"
        body = body[:2] + b"\xff\xed" + (len(iptc) + 2).to_bytes(2, "big") + iptc + body[2:]
    if kind == "gif":
        body = body[:-1] + b"!\xff\x0bXMP DataXMP" + bytes([len(XMP)]) + XMP + b"\0;"
    return body + b"PK\x03\x04 and a " + SECRET


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "gif"])
def test_metadata_goes_and_not_one_pixel_changes(kind: str) -> None:
    body = told_everything(kind)
    bare = changed(body, strip_metadata=True)
    assert SECRET in body
    assert SECRET not in bare.body
    assert b"Exif" not in bare.body
    assert not opened(bare.body).getexif()
    assert (bare.format, bare.width, bare.height) == (kind, 64, 48)
    assert np.array_equal(np.asarray(opened(body).convert("RGB")), np.asarray(opened(bare.body).convert("RGB")))
    assert rewrite(recipe(strip_metadata=True), bare.body) is None


@pytest.mark.parametrize(
    "options", [{"progressive": True}, {"restart_marker_rows": 1}, {"icc_profile": b"\1" * 70_000}]
)
def test_what_a_jpeg_needs_stays(options: dict[str, Any]) -> None:
    body = encoded(photo(2, (128, 96)), **options, exif=exif())
    bare = stripped(body)
    assert len(bare) < len(body)
    assert np.array_equal(np.asarray(opened(body)), np.asarray(opened(bare)))
    assert opened(bare).info.get("icc_profile") == options.get("icc_profile")


@pytest.mark.parametrize("kind", ["gif", "webp", "png"])
def test_animations_keep_their_frames_and_times_when_only_metadata_goes(kind: str) -> None:
    body = animation(kind, 3)
    before, after = Image.open(BytesIO(body)), Image.open(BytesIO(stripped(body)))
    assert after.n_frames == before.n_frames == 3  # type: ignore[attr-defined]
    assert after.info.get("loop") == before.info.get("loop")
    for frame in range(3):
        before.seek(frame)
        after.seek(frame)
        assert np.array_equal(np.asarray(before.convert("RGB")), np.asarray(after.convert("RGB")))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("wanted", [{"strip_metadata": True}, {"max_side": 32}])
def test_what_its_metadata_turns_is_turned_for_good(orientation: int, wanted: dict[str, Any]) -> None:
    body = encoded(quadrants(), "png", exif=exif(orientation))
    seen = ImageOps.exif_transpose(opened(body))
    done = changed(body, **wanted)
    result = opened(done.body)
    assert result.size == (done.width, done.height)
    assert result.width * seen.height == result.height * seen.width
    assert far_apart(result, seen.resize(result.size)) < 8
    assert not result.getexif()


@pytest.mark.parametrize(
    ("size", "wanted", "expected"),
    [
        ((640, 480), {"resize": (200, 200)}, (200, 200)),
        ((640, 480), {"resize": (320, 100)}, (320, 100)),
        ((100, 80), {"resize": (200, 50)}, (100, 50)),  # no larger than it is
        ((100, 80), {"resize": (200, 200)}, (100, 80)),
        ((640, 480), {"max_side": 320}, (320, 240)),
        ((480, 640), {"max_side": 320}, (240, 320)),
        ((640, 480), {"max_side": 641}, (640, 480)),
        ((500, 2), {"max_side": 100}, (100, 1)),
    ],
)
def test_no_picture_grows(size: tuple[int, int], wanted: dict[str, Any], expected: tuple[int, int]) -> None:
    body = encoded(photo(3, size))
    done = rewrite(recipe(**wanted), body)
    assert (opened(done.body).size if done else size) == expected
    assert (done is None) == (size == expected)


def test_the_middle_is_cut_out() -> None:
    image = Image.new("RGB", (300, 100), "red")
    image.paste("blue", (100, 0, 200, 100))
    result = opened(changed(encoded(image, "png"), resize=(100, 100)).body)
    assert result.getcolors() == [(100 * 100, (0, 0, 255))]


MODES = {
    "RGBA": lambda image: with_alpha(image),
    "LA": lambda image: with_alpha(image).convert("LA"),
    "P": lambda image: image.quantize(64),
    "L": lambda image: image.convert("L"),
    "1": lambda image: image.convert("1"),
    "I;16": lambda image: Image.fromarray(np.asarray(image.convert("L"), dtype=np.uint16) * 257),
    "CMYK": lambda image: image.convert("CMYK"),
}


def with_alpha(image: Image.Image) -> Image.Image:
    """Black, and invisible, in its left half."""
    shown = image.convert("RGBA")
    shown.paste((0, 0, 0, 0), (0, 0, image.width // 2, image.height))
    return shown


def on_white(image: Image.Image) -> Image.Image:
    if image.mode == "I;16":
        return image.point(lambda level: level / 256).convert("L").convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


@pytest.mark.parametrize("encode", [Encode.JPEG, Encode.WEBP])
@pytest.mark.parametrize("mode", MODES)
def test_every_kind_of_picture_looks_the_same_in_another_format(mode: str, encode: Encode) -> None:
    original = MODES[mode](photo(4, (96, 64)))
    body = encoded(original, "jpeg" if mode == "CMYK" else "png")
    result = opened(changed(body, encode=encode, max_side=48).body)
    assert result.format == encode.upper()
    assert far_apart(on_white(result), on_white(opened(body)).resize((48, 32), Image.Resampling.LANCZOS)) < 8  # grain


def test_colours_of_a_profile_become_srgb() -> None:
    """A profile that takes red for green and so on shows that it was used."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")
    body = encoded(Image.new("RGB", (32, 32), (200, 10, 10)), "png", icc_profile=swapped)
    result = opened(changed(body, max_side=16).body)
    red, green, _ = result.getpixel((8, 8))  # type: ignore[misc]
    assert green > 150 > red
    assert "icc_profile" not in result.info


@pytest.mark.parametrize("profile", [b"no profile", bytes(3_000_000)])
def test_a_broken_profile_is_dropped(profile: bytes) -> None:
    colour = Image.new("RGB", (32, 32), (200, 10, 10))
    result = opened(changed(encoded(colour, icc_profile=profile), max_side=16).body)
    assert far_apart(result, colour.resize((16, 16))) < 3
    assert "icc_profile" not in result.info


def test_of_an_animation_the_first_frame_is_left() -> None:
    body = animation("gif", 3)
    result = opened(changed(body, encode=Encode.WEBP, max_side=32).body)
    assert getattr(result, "n_frames", 1) == 1
    assert far_apart(result, photo(0, (64, 48)).resize((32, 24))) < 9 < far_apart(result, photo(1, (32, 24)))


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "gif"])
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4))
@hypothesis_settings(max_examples=40)
def test_whatever_the_bytes_it_is_refused_or_a_picture(kind: str, damage: list[tuple[float, int]]) -> None:
    body = bytearray(told_everything(kind))
    for place, value in damage:
        body[int(place * len(body))] = value
    for wanted in ({"strip_metadata": True}, {"max_side": 8}):
        with suppress(NotAnImage):
            done = rewrite(recipe(**wanted), bytes(body))
            assert done is None or Image.open(BytesIO(done.body)).size == (done.width, done.height)


@pytest.mark.parametrize("wanted", [{"max_side": 8}, {"strip_metadata": True}, {"encode": Encode.WEBP}])
def test_hostile_bytes_are_refused_in_the_worker(wanted: dict[str, Any]) -> None:
    async def work() -> None:
        inspectors = Inspectors(workers=1)
        good = told_everything("jpeg")
        try:
            for body in (b"", b"GIF89a", good[:200], encoded(Image.new("L", (9000, 9000)), "png")):
                with pytest.raises(NotAnImage):
                    await inspectors.run(partial(rewrite, recipe(**wanted)), body, credible)
            assert await inspectors.run(partial(rewrite, recipe(**wanted)), good, credible) is not None
        finally:
            await inspectors.close()

    asyncio.run(work())


JPEG = encoded(photo(0, (64, 48)))


@pytest.mark.parametrize(
    "lie",
    [
        Rewritten(b"<html>", "jpeg", 64, 48),
        Rewritten(JPEG, "html", 64, 48),
        Rewritten(JPEG, "png", 64, 48),
        Rewritten(JPEG, "jpeg", 0, 48),
        Rewritten(JPEG, "jpeg", 2**40, 48),
        Rewritten(JPEG, "jpeg", 64, 48.5),  # type: ignore[arg-type]
        Rewritten("text", "jpeg", 64, 48),  # type: ignore[arg-type]
        (JPEG, "jpeg", 64, 48),
        JPEG,
        False,
    ],
    ids=lambda lie: repr(lie)[-40:],
)
def test_a_lie_about_what_was_made_is_no_answer(lie: object) -> None:
    assert credible(None) is None
    assert credible(Rewritten(JPEG, "jpeg", 64, 48))
    with pytest.raises(answers.Foreign):
        credible(lie)
