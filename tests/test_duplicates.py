"""Copies are found whatever became of them on the way, and pictures that only resemble each other stay apart."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import encoded, photo
from PIL import Image, ImageDraw, ImageOps

from pixcrawler import duplicates
from pixcrawler.duplicates import Index, Match, Standing, nearest, parse_options
from pixcrawler.errors import UsageError
from pixcrawler.imaging import inspect
from pixcrawler.items import Inspection, Looks
from pixcrawler.jobs import Extent, Reason
from pixcrawler.likeness import FINGERPRINT, PRESETS, Preset

HASHES = st.integers(0, 2**64 - 1)
NEARBY = st.integers(0, 0xFFFF)  # hashes that differ in few bits, or in none


def looks(image: Image.Image, kind: str = "png") -> Inspection:
    return inspect(encoded(image, kind))


def match(one: Inspection, other: Inspection, preset: str = "balanced", *, flipped: bool = False) -> Match | None:
    """What comes of meeting one when the other is kept."""
    assert one.looks is not None
    assert other.looks is not None
    index = Index()
    index.add([(1, other.sha256, other.looks.codes)])
    proposals = index.near(one.looks, PRESETS[preset], flipped=flipped)
    return nearest(PRESETS[preset], one.looks, proposals, {1: other.looks.fingerprint})


def captioned(image: Image.Image) -> Image.Image:
    page = Image.new("RGB", (image.width, image.height + 80), "white")
    page.paste(image)
    middle = (image.width // 2, image.height + 40)
    ImageDraw.Draw(page).text(middle, "once more with words", "black", anchor="mm", font_size=30)
    return page


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "smaller": lambda image: image.resize((160, 120)),
    "squeezed": lambda image: image.resize((400, 480)),
    "grey": lambda image: image.convert("L"),
    "brighter": lambda image: image.point(lambda level: min(255, level + 20)),
    "cropped": lambda image: image.crop((16, 12, 624, 468)),
    "framed": lambda image: ImageOps.expand(image, 24, "white"),
    "letterboxed": lambda image: ImageOps.pad(image, (640, 640), color="black"),
    "captioned": captioned,
}


@pytest.mark.parametrize("change", COPIES.values(), ids=COPIES)
def test_a_copy_is_found_whichever_came_first(change: Callable[[Image.Image], Image.Image]) -> None:
    original, copy = looks(photo(1)), looks(change(photo(1)), "jpeg" if change is not COPIES["grey"] else "png")
    for found in (match(original, copy), match(copy, original)):
        assert found is not None
        assert found.reason is Reason.NEAR_DUPLICATE
        assert 0 <= found.distance <= 90
        assert found.likeness is not None
        assert 0.85 < found.likeness <= 1
    assert match(copy, looks(photo(2))) is None


def test_the_same_shape_in_another_colour_is_another_picture() -> None:
    def shirt(colour: str) -> Inspection:
        image = Image.new("RGB", (400, 400), "white")
        ImageDraw.Draw(image).polygon([(60, 90), (200, 40), (340, 90), (300, 360), (100, 360)], colour)
        return looks(image)

    red, blue = shirt("#c03030"), shirt("#3030c0")
    assert match(red, shirt("#c83838"))
    assert match(red, blue) is None


def test_fades_are_told_apart_by_their_ends() -> None:
    def fade(one: str, other: str, kind: str = "png") -> Inspection:
        mask = Image.linear_gradient("L").resize((300, 400))
        return looks(Image.composite(Image.new("RGB", mask.size, other), Image.new("RGB", mask.size, one), mask), kind)

    sky = fade("#104080", "#a0c0e0")
    assert match(fade("#104080", "#a0c0e0", "jpeg"), sky)
    assert match(fade("#144484", "#a0c0d8"), sky)
    assert match(fade("#101010", "#e0e0e0"), sky) is None
    assert match(fade("#401060", "#c060c0"), sky) is None


def test_strict_takes_less_for_a_copy() -> None:
    original, copy = looks(photo(1)), looks(COPIES["captioned"](photo(1)))
    assert match(copy, original, "balanced")
    assert match(copy, original, "strict") is None
    assert match(looks(photo(1), "jpeg"), original, "strict")


def test_mirror_images_are_copies_when_asked_for() -> None:
    original, mirrored = looks(photo(3)), looks(ImageOps.mirror(photo(3)))
    assert match(mirrored, original) is None
    assert match(mirrored, original, flipped=True)
    assert match(looks(photo(4)), original, flipped=True) is None


def test_flat_pictures_have_no_looks() -> None:
    assert looks(Image.new("RGB", (300, 300), "teal")).looks is None


def made(hashes: list[int]) -> Looks:
    """Looks of views of these perceptual hashes; the long codes are alike."""
    return Looks(b"".join(number.to_bytes(8, "big") + bytes(32) for number in hashes), bytes(FINGERPRINT))


VIEWED = st.lists(NEARBY | HASHES, min_size=2, max_size=3)


@settings(max_examples=60)
@given(st.lists(VIEWED, max_size=20), VIEWED, st.integers(0, 16), st.booleans(), st.integers(0, 20))
def test_proposes_exactly_what_is_near(
    known: list[list[int]], asked: list[int], radius: int, views: bool, seen: int
) -> None:
    index = Index()
    index.add([(number, "ab" * 32, made(hashes).codes) for number, hashes in enumerate(known[:seen])])
    mark = index.mark
    index.add(
        [(number, "ab" * 32, made(hashes).codes) for number, hashes in enumerate(known[seen:], len(known[:seen]))]
    )

    def near(hashes: list[int]) -> bool:
        pairs = [(asked[0], other) for other in hashes] + [(own, hashes[0]) for own in asked]
        pairs += [(asked[2], hashes[2])] if len(asked) == len(hashes) == 3 else []
        pairs = pairs if views else [(asked[0], hashes[0])]
        return any((a ^ b).bit_count() <= radius for a, b in pairs)

    preset = Preset(PRESETS["balanced"].rules, radius, views=views)
    expected = [number for number, hashes in enumerate(known) if near(hashes)]
    assert index.near(made(asked), preset).numbers.tolist() == expected
    assert index.near(made(asked), preset, mark).numbers.tolist() == [n for n in expected if n >= seen]


def test_finds_bytes_among_many() -> None:
    index = Index()
    index.add([(number, f"{number:016x}{0:048x}", b"") for number in range(5000)])
    assert index.same(f"{4321:016x}{1:048x}") == [4321]
    assert index.same(f"{5000:016x}{0:048x}") == []
    assert len(index) == 5000


@given(st.lists(st.builds(Standing, st.integers(1, 9), st.integers(0, 2), st.booleans()), min_size=1, max_size=8))
def test_no_two_copies_replace_each_other_for_ever(copies: list[Standing]) -> None:
    kept, replaced = copies[0], 0
    for copy in copies * 40:
        if copy.beats(kept):
            kept, replaced = copy, replaced + 1
    assert replaced < len(copies)
    assert not any(copy.beats(kept) for copy in copies)


def test_larger_then_freer_then_credited_is_better() -> None:
    kept = Standing(1000, freedom=3)
    assert Standing(1500).beats(kept)
    assert not Standing(1400).beats(kept)
    assert Standing(1000, freedom=4).beats(kept)
    assert Standing(1000, freedom=3, credited=True).beats(kept)
    assert not Standing(999, freedom=6, credited=True).beats(kept)
    assert not kept.beats(kept)


def test_options_are_checked() -> None:
    assert parse_options({}) == {"duplicates": "balanced", "scope": Extent.JOB, "flips": False}
    assert duplicates.Wanted.of(parse_options({"duplicates": "exact", "scope": "owner"})).extent is Extent.OWNER
    for wrong in ({"duplicates": "loose"}, {"scope": "world"}, {"flips": "yes"}, {"duplicates": 7}, {"scope": None}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            parse_options(wrong)


def test_comparing_many_at_once_is_comparing_each() -> None:
    seen = [looks(photo(seed)) for seed in range(6)] + [looks(captioned(photo(1)))]
    index = Index()
    index.add([(n, each.sha256, each.looks.codes) for n, each in enumerate(seen) if each.looks])
    asked = looks(photo(1), "jpeg")
    assert asked.looks is not None
    prints = {n: each.looks.fingerprint for n, each in enumerate(seen) if each.looks}
    proposals = index.near(asked.looks, PRESETS["balanced"])
    assert set(proposals.numbers.tolist()) == {1, 6}
    together = nearest(PRESETS["balanced"], asked.looks, proposals, prints)
    assert together == match(asked, seen[1]) or (together and together.number == 1)
    assert np.all(np.diff(proposals.numbers) > 0)
