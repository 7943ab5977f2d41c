"""Which pictures are good enough for a dataset: presets as data, and the verdict on an inspection. Pure.

`benchmarks/quality.py` shows which share of each kind of picture a preset refuses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain

from pixcrawler.errors import UsageError
from pixcrawler.items import Figures, Inspection
from pixcrawler.jobs import Reason

FORMATS = frozenset({"jpeg", "png", "webp", "gif"})
OPENED_BY_OTHERS = frozenset({"archive", "document", "program", "page"})  # what another program would take the file for
DEFAULT = "standard"


@dataclass(frozen=True, slots=True)
class Policy:
    """What is asked of a picture. The defaults refuse nothing."""

    min_side: int = 1  # pixels
    max_aspect: float = float("inf")  # long : short side
    formats: frozenset[str] = FORMATS
    animated: bool = True  # more than one frame is fine
    trailing_data: frozenset[str] = frozenset()  # what may not come after the image
    contrast: int = 0  # see `Figures`, at least
    brightest: int = 0  # grey level that 0.1 % of the pixels reach, at least
    dark: int = 255  # grey level that 5 % of the pixels stay under, at most
    sharpness: float = 0  # at least
    entropy: float = 0  # bits; a picture with less is a placeholder,
    shades: int = 0  # if no more than so many of 32 show


_STANDARD = Policy(trailing_data=OPENED_BY_OTHERS, contrast=12, brightest=24)

PRESETS = {
    "lenient": Policy(),
    "standard": _STANDARD,
    "strict": replace(
        _STANDARD,
        min_side=256,  # what most models are trained on
        max_aspect=2.4,  # the widest cinema format
        formats=FORMATS - {"gif"},  # 256 colours
        animated=False,
        trailing_data=OPENED_BY_OTHERS | {"data"},
        contrast=24,
        brightest=82,  # a third of the light
        dark=242,  # hardly anything but white
        sharpness=30,
        entropy=1.0,
        shades=12,
    ),
}


def preset(name: str) -> Policy:
    """Raises `UsageError` for a name there is not."""
    if name not in PRESETS:
        raise UsageError(f"quality: there is no preset {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name]


def parse_preset(name: str) -> str:
    """The name itself. Raises `UsageError` for one there is not."""
    preset(name)
    return name


def limited(policy: Policy, *, min_side: int, max_aspect: float) -> Policy:
    """The policy within the limits of who runs the crawl."""
    return replace(policy, min_side=max(policy.min_side, min_side), max_aspect=min(policy.max_aspect, max_aspect))


def verdict(inspection: Inspection, policy: Policy) -> tuple[Reason, str] | None:
    """Why the picture is not good enough, and the figure that says so; None if it is."""
    looks = _by_looks(inspection.figures, policy) if inspection.figures else ()
    return next(chain(_by_file(inspection, policy), looks), None)


def _by_file(inspection: Inspection, policy: Policy) -> Iterator[tuple[Reason, str]]:
    short, long = sorted((inspection.width, inspection.height))
    size = f"{inspection.width}x{inspection.height}"
    if short < policy.min_side:
        yield Reason.TOO_SMALL, size
    if long > policy.max_aspect * short:
        yield Reason.ASPECT, size
    if inspection.format not in policy.formats:
        yield Reason.FORMAT, inspection.format
    if inspection.frames > 1 and not policy.animated:
        yield Reason.ANIMATED, f"{inspection.frames} frames"
    if inspection.trailing_data in policy.trailing_data:
        yield Reason.TRAILING_DATA, inspection.trailing_data or ""


def _by_looks(figures: Figures, policy: Policy) -> Iterator[tuple[Reason, str]]:
    if figures.contrast < policy.contrast:
        yield Reason.BLANK, f"{figures.contrast} grey levels of contrast"
    if figures.brightest < policy.brightest:
        yield Reason.DARK, f"99.9 % of it are under grey level {figures.brightest}"
    if figures.dark > policy.dark:
        yield Reason.BRIGHT, f"95 % of it are over grey level {figures.dark}"
    if figures.entropy < policy.entropy and figures.shades <= policy.shades:
        yield Reason.PLACEHOLDER, f"{figures.entropy:.1f} bits of entropy in {figures.shades} shades"
    if figures.sharpness < policy.sharpness:
        yield Reason.BLURRED, f"sharpness {figures.sharpness:.0f}"
