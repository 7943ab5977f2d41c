"""The demo's pictures: different to a duplicate search unless they are meant to be copies."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from pixcrawler import imaging, quality
from pixcrawler.config import Config
from pixcrawler.demo import bodies, catalogue, pictures
from pixcrawler.demo.catalogue import Content, Entry, Kind
from pixcrawler.duplicates import Index, nearest
from pixcrawler.items import Inspection
from pixcrawler.likeness import PRESETS

pytestmark = pytest.mark.timeout(300)  # the first test paints the whole catalogue: 15 s of one core

ENTRIES = catalogue.build()
BALANCED = PRESETS["balanced"]


@pytest.fixture(scope="module")
def seen() -> dict[Entry, Inspection]:
    """Every picture of the catalogue that is one, as the crawler sees it."""
    kinds = {Kind.GOOD, Kind.SLOW, Kind.REDIRECT, Kind.NEAR_DUPLICATE, Kind.BYTE_DUPLICATE}
    return {entry: imaging.inspect(bodies.body(entry)) for entry in ENTRIES if entry.kind in kinds}


def distinct(seen: dict[Entry, Inspection]) -> dict[tuple[str, int], Inspection]:
    originals = {Kind.GOOD, Kind.SLOW, Kind.REDIRECT}
    return {(e.keyword, e.content.seed): found for e, found in seen.items() if e.kind in originals}


def copies_of(found: Inspection, kept: list[Inspection]) -> bool:
    """Whether it is a copy of one of them."""
    index = Index()
    index.add([(number, each.sha256, each.looks.codes) for number, each in enumerate(kept) if each.looks])
    prints = {number: each.looks.fingerprint for number, each in enumerate(kept) if each.looks}
    return bool(found.looks and nearest(BALANCED, found.looks, index.near(found.looks, BALANCED), prints))


def test_distinct_pictures_are_no_near_duplicates(seen: dict[Entry, Inspection]) -> None:
    originals = list(distinct(seen).values())
    assert len(originals) >= 200
    assert [found for number, found in enumerate(originals) if copies_of(found, originals[:number])] == []


def test_copies_are_near_their_originals_but_other_files(seen: dict[Entry, Inspection]) -> None:
    originals = distinct(seen)
    copies = [(entry, found) for entry, found in seen.items() if entry.kind is Kind.NEAR_DUPLICATE]
    assert {entry.content.change for entry, _ in copies} == {"recompressed", "resized", "cropped", "brighter"}
    for entry, found in copies:
        original = originals[entry.keyword, entry.content.seed]
        assert copies_of(found, [original])
        assert found.sha256 != original.sha256


def test_byte_duplicates_are_their_originals(seen: dict[Entry, Inspection]) -> None:
    hashes = {found.sha256 for found in distinct(seen).values()}
    assert all(found.sha256 in hashes for entry, found in seen.items() if entry.kind is Kind.BYTE_DUPLICATE)


def test_every_picture_is_good_enough_to_keep(seen: dict[Entry, Inspection]) -> None:
    settings = Config()
    policy = quality.limited(
        quality.preset(quality.DEFAULT), min_side=settings.min_side, max_aspect=settings.max_aspect
    )
    for found in seen.values():
        assert quality.verdict(found, policy) is None


def test_files_have_the_sizes_and_formats_of_photographs(seen: dict[Entry, Inspection]) -> None:
    sizes = [found.size for found in seen.values()]
    assert {found.format for found in seen.values()} == {"jpeg", "png", "webp"}
    assert 40_000 < np.median(sizes) < 150_000
    assert max(sizes) < 300_000


def test_claimed_measures_are_true(seen: dict[Entry, Inspection]) -> None:
    originals = [(entry, found) for entry, found in seen.items() if entry.kind is Kind.GOOD and entry.width]
    assert all((entry.width, entry.height) == (found.width, found.height) for entry, found in originals)


@pytest.mark.parametrize("keyword", catalogue.KEYWORDS)
def test_pictures_have_tones_and_detail(keyword: str) -> None:
    """What tells a photograph from a drawing: many tones (fog has the fewest), and neighbours that differ."""
    for seed in range(6):
        grey = np.asarray(pictures.paint(keyword, seed).convert("L"), np.int16)
        assert len(np.unique(grey)) > 60
        assert np.mean(np.diff(grey, axis=1) == 0) < 0.6


def test_a_seed_gives_the_same_bytes_in_every_process() -> None:
    code = """if True:
        import hashlib
        from pixcrawler.demo import bodies
        from pixcrawler.demo.catalogue import Content
        for keyword in ("mountain lake", "city night"):
            print(hashlib.sha256(bodies.picture_file(Content(keyword, 3, "jpg", 85))).hexdigest())
    """
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    here = [bodies.picture_file(Content(keyword, 3, "jpg", 85)) for keyword in catalogue.KEYWORDS]
    assert there == [hashlib.sha256(file).hexdigest() for file in here]


def test_another_seed_gives_another_picture() -> None:
    assert pictures.paint("city night", 1).tobytes() != pictures.paint("city night", 2).tobytes()


def test_nobody_paints_an_unknown_keyword() -> None:
    with pytest.raises(KeyError, match="red panda"):
        pictures.paint("red panda", 1)


def test_a_crop_takes_two_percent() -> None:
    picture = Image.new("RGB", (800, 600))
    assert pictures.changed(picture, "cropped").size == (784, 588)


def test_the_bomb_is_small_as_a_file_and_huge_as_a_picture() -> None:
    with pytest.warns(Image.DecompressionBombWarning), Image.open(BytesIO(bodies.bomb())) as bomb:
        assert bomb.size == (12_000, 12_000)
    assert len(bodies.bomb()) < 100_000
