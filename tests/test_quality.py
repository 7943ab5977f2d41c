from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from pixcrawler import quality
from pixcrawler.errors import UsageError
from pixcrawler.imaging import inspect
from pixcrawler.items import Figures, Inspection
from pixcrawler.jobs import Reason
from pixcrawler.quality import PRESETS, Policy, limited, preset, verdict
from tests.pictures import animation, encoded, photo

FIGURES = Figures(sharpness=300, darkest=10, dark=20, brightest=240, entropy=7, shades=30)
GOOD = Inspection("0" * 64, 1, "jpeg", 800, 600, 1, 0, False, FIGURES)

Changes = dict[str, object]


def refused(found: Inspection, name: str) -> Reason | None:
    refusal = verdict(found, preset(name))
    return refusal[0] if refusal else None


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
def test_refuses_by_size_and_shape(width: int, height: int, expected: Reason | None) -> None:
    refusal = verdict(replace(GOOD, width=width, height=height), Policy(min_side=200, max_aspect=3.0))

    assert refusal == (expected and (expected, f"{width}x{height}"))


@pytest.mark.parametrize("name", PRESETS)
def test_the_limits_of_who_runs_the_crawl_hold_for_every_preset(name: str) -> None:
    strictest = limited(preset(name), min_side=500, max_aspect=1.5)
    widest = limited(preset(name), min_side=1, max_aspect=100)

    assert (strictest.min_side, strictest.max_aspect) == (500, 1.5)
    assert widest.min_side == preset(name).min_side
    assert verdict(replace(GOOD, width=499, height=499), strictest)


@pytest.mark.parametrize(
    ("file", "looks", "lenient", "standard", "strict"),
    [
        ({}, {}, None, None, None),
        ({"format": "gif"}, {}, None, None, Reason.FORMAT),
        ({"frames": 2}, {}, None, None, Reason.ANIMATED),
        ({"width": 255, "height": 300}, {}, None, None, Reason.TOO_SMALL),
        ({"width": 1000, "height": 400}, {}, None, None, Reason.ASPECT),
        *(
            ({"trailing_data": kind}, {}, None, Reason.TRAILING_DATA, Reason.TRAILING_DATA)
            for kind in ("archive", "page", "program", "document")
        ),
        ({"trailing_data": "data"}, {}, None, None, Reason.TRAILING_DATA),
        ({}, {"darkest": 100, "brightest": 111}, None, Reason.BLANK, Reason.BLANK),
        ({}, {"darkest": 100, "brightest": 112}, None, None, Reason.BLANK),
        ({}, {"darkest": 0, "brightest": 23}, None, Reason.DARK, Reason.BLANK),
        ({}, {"brightest": 81}, None, None, Reason.DARK),
        ({}, {"dark": 243}, None, None, Reason.BRIGHT),
        ({}, {"entropy": 0.5, "shades": 5}, None, None, Reason.PLACEHOLDER),
        ({}, {"entropy": 0.5, "shades": 20}, None, None, None),  # a small thing on white
        ({}, {"entropy": 2.5, "shades": 5}, None, None, None),
        ({}, {"sharpness": 29}, None, None, Reason.BLURRED),
    ],
)
def test_presets(file: Changes, looks: Changes, lenient: object, standard: object, strict: object) -> None:
    found = replace(GOOD, figures=FIGURES._replace(**looks), **file)  # type: ignore[arg-type]

    assert [refused(found, name) for name in ("lenient", "standard", "strict")] == [lenient, standard, strict]


def test_each_preset_takes_less_than_the_one_before() -> None:
    lenient, standard, strict = (preset(name) for name in ("lenient", "standard", "strict"))

    for freer, stricter in ((lenient, standard), (standard, strict)):
        assert freer.min_side <= stricter.min_side
        assert freer.max_aspect >= stricter.max_aspect
        assert freer.formats >= stricter.formats
        assert freer.trailing_data <= stricter.trailing_data
        assert (freer.contrast, freer.brightest, freer.sharpness) <= (
            stricter.contrast,
            stricter.brightest,
            stricter.sharpness,
        )
        assert freer.dark >= stricter.dark
        assert (freer.entropy, freer.shades) <= (stricter.entropy, stricter.shades)


def test_every_refusal_says_what_was_found() -> None:
    worst = replace(
        GOOD,
        width=20,
        height=200,
        format="gif",
        frames=7,
        trailing_data="page",
        figures=Figures(sharpness=3, darkest=245, dark=245, brightest=250, entropy=0.51, shades=1),
    )
    every = Policy(100, 2, frozenset(), False, frozenset({"page"}), 12, 255, 200, 60, 0.6, 9)

    refusals = [*quality._by_file(worst, every), *quality._by_looks(worst.figures or FIGURES, every)]

    assert [detail for _, detail in refusals] == [
        *("20x200", "20x200", "gif", "7 frames", "page", "5 grey levels of contrast"),
        *("99.9 % of it are under grey level 250", "95 % of it are over grey level 245"),
        *("0.5 bits of entropy in 1 shades", "sharpness 3"),
    ]
    assert verdict(worst, every) == (Reason.TOO_SMALL, "20x200")


def test_an_unknown_preset_is_named() -> None:
    with pytest.raises(UsageError, match="no preset 'harsh'; there are lenient, standard, strict"):
        preset("harsh")


# With real files: a photograph passes every preset, and each fault is called by its name.


def picture() -> Image.Image:
    grain = np.random.default_rng(0).normal(0, 12, (450, 600, 1))
    return Image.fromarray((np.asarray(photo(7, (600, 450))) + grain).clip(0, 255).astype(np.uint8))


def placeholder() -> Image.Image:
    image = Image.new("RGB", (600, 450), (221, 221, 221))
    pen = ImageDraw.Draw(image)
    pen.rectangle((250, 150, 350, 220), outline=(136, 136, 136), width=6)
    pen.text((180, 240), "image not available", fill=(136, 136, 136), font_size=28)
    return image


FILES = {
    "a photograph": (encoded(picture()), None, None),
    "a photograph as PNG": (encoded(picture(), "png"), None, None),
    "one colour": (encoded(Image.new("RGB", (600, 450), "teal")), Reason.BLANK, Reason.BLANK),
    "nearly black": (encoded(picture().point(lambda level: max(0, level - 40) // 7)), Reason.DARK, Reason.BLANK),
    "night": (encoded(picture().point(lambda level: level // 3)), None, Reason.DARK),
    "out of focus": (encoded(picture().filter(ImageFilter.GaussianBlur(4))), None, Reason.BLURRED),
    "a placeholder": (encoded(placeholder()), None, Reason.PLACEHOLDER),
    "a moving picture": (animation("webp", 3, (600, 450)), None, Reason.ANIMATED),
    "a picture and a page": (encoded(picture()) + b"<script>", Reason.TRAILING_DATA, Reason.TRAILING_DATA),
}


@pytest.mark.parametrize("name", FILES)
def test_calls_the_fault_of_a_file_by_its_name(name: str) -> None:
    body, standard, strict = FILES[name]
    found = inspect(body)

    assert [refused(found, each) for each in ("lenient", "standard", "strict")] == [None, standard, strict]
