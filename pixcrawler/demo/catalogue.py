"""What the demo's source offers: good pictures, copies of them, and whatever else the web serves as pictures."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import cycle
from random import Random
from typing import Literal

from pixcrawler.demo import pictures
from pixcrawler.demo.pictures import Change, Filetype

KEYWORDS = tuple(pictures.PAINTERS)
GOOD = 100  # distinct good pictures per keyword

Reach = Literal["api", "list", "both"]


class Kind(StrEnum):
    """What a client gets for an entry's address."""

    GOOD = "good"
    SLOW = "slow"  # a good picture in dribbles
    REDIRECT = "redirect"  # to a good picture
    NEAR_DUPLICATE = "near duplicate"  # of a good picture
    BYTE_DUPLICATE = "byte duplicate"  # of a good picture
    CUT = "cut"  # a JPEG without its end
    HTML = "html"  # a page labelled as JPEG
    TINY = "tiny"  # 64×48 pixels
    BOMB = "bomb"  # a small PNG with 144 million pixels
    MISSING = "missing"  # 404
    UNAVAILABLE = "unavailable"  # 503


# How many of each there are per keyword.
FAULTS = {
    Kind.SLOW: 1,
    Kind.REDIRECT: 1,
    Kind.BYTE_DUPLICATE: 4,
    Kind.CUT: 2,
    Kind.HTML: 1,
    Kind.TINY: 2,
    Kind.BOMB: 1,
    Kind.MISSING: 3,
    Kind.UNAVAILABLE: 1,
}
CHANGES: tuple[Change, ...] = ("recompressed", "resized", "cropped", "brighter") * 2
FILETYPES: tuple[Filetype, ...] = ("jpg", "jpg", "jpg", "webp", "jpg", "jpg", "jpg", "jpg", "png", "jpg", "jpg")
REACHES: tuple[Reach, ...] = ("api", "list", "api", "both", "api", "list", "api", "both", "list", "api")


@dataclass(frozen=True, slots=True)
class License:
    """A licence as Openverse names it."""

    slug: str
    version: str
    url: str


def _cc(slug: str, version: str) -> License:
    return License(slug, version, f"https://creativecommons.org/licenses/{slug}/{version}/")


CC0 = License("cc0", "1.0", "https://creativecommons.org/publicdomain/zero/1.0/")
PDM = License("pdm", "1.0", "https://creativecommons.org/publicdomain/mark/1.0/")
LICENSES = (
    *(_cc("by", "4.0"), _cc("by-sa", "4.0"), CC0, _cc("by", "2.0"), _cc("by-nc", "2.0"), _cc("by-sa", "2.0")),
    *(PDM, _cc("by-nc-sa", "2.0"), _cc("by", "4.0"), _cc("by-nc-nd", "2.0"), CC0, _cc("by-nd", "2.0")),
)
CREATORS = (
    *("Ada Holm", "J. Okafor", None, "Lucía Ferrer", "tkb_photo", "Mei Tanaka", "Étienne Roux", "anna&paul"),
    *("Sigrún Jónsdóttir", None, "R. D. Whitfield", "Наталья К.", "pixelwanderer"),
)
TITLES = {
    "mountain lake": ("Mountain lake {}", "Morning at the lake, no. {}", "Below the ridge {}", "Still water {}"),
    "city night": ("City night {}", "After the rain, no. {}", "Lights downtown {}", "Night walk, frame {}"),
}
HTML_TITLE = 'The <b>finest</b> {} &amp; its <a href="https://example.org/">surroundings</a>'


@dataclass(frozen=True, slots=True)
class Content:
    """A picture file: entries with the same content serve the same bytes."""

    keyword: str
    seed: int
    filetype: Filetype
    quality: int
    change: Change | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A picture the source claims to have. Width, height, size and type are claims: None is unknown."""

    id: str
    kind: Kind
    keyword: str
    content: Content
    title: str
    creator: str | None
    license: License
    width: int | None
    height: int | None
    filesize: int | None
    filetype: str | None
    reach: Reach

    @property
    def path(self) -> str:
        """Where the picture is on its server."""
        return f"/images/{self.id}.{'png' if self.kind is Kind.BOMB else self.content.filetype}"

    @property
    def in_api(self) -> bool:
        """Whether searching finds it."""
        return self.reach != "list"

    @property
    def in_list(self) -> bool:
        """Whether the list of addresses has it."""
        return self.reach != "api"


def build(keywords: Sequence[str] = KEYWORDS, good: int = GOOD) -> tuple[Entry, ...]:
    """The whole catalogue, keyword after keyword; within one, good and bad are mixed, always alike."""
    return tuple(entry for keyword in keywords for entry in _mixed(keyword, good))


def _mixed(keyword: str, good: int) -> Iterator[Entry]:
    offers = [*_offers(keyword, good)]
    Random(keyword).shuffle(offers)  # noqa: S311 - an order, not a secret
    for number, ((kind, content), reach) in enumerate(zip(offers, cycle(REACHES), strict=False)):
        yield entry(kind, content, number, reach)


def _offers(keyword: str, good: int) -> Iterator[tuple[Kind, Content]]:
    for seed in range(good):
        yield Kind.GOOD, _content(keyword, seed)
    for seed, change in enumerate(CHANGES):
        yield Kind.NEAR_DUPLICATE, Content(keyword, seed % good, "jpg", 70, change)
    seeds = iter(range(good, good + sum(FAULTS.values())))
    for kind, times in FAULTS.items():
        for number in range(times):
            match kind:
                case Kind.BYTE_DUPLICATE:
                    yield kind, _content(keyword, (len(CHANGES) + number) % good)
                case Kind.GOOD | Kind.SLOW | Kind.REDIRECT:
                    yield kind, _content(keyword, next(seeds))
                case _:
                    yield kind, Content(keyword, next(seeds), "jpg", 85)


def _content(keyword: str, seed: int) -> Content:
    return Content(keyword, seed, FILETYPES[seed % len(FILETYPES)], quality=80 + seed % 13)


def entry(kind: Kind, content: Content, number: int, reach: Reach = "both") -> Entry:
    """An entry with everything Openverse would tell of it; `number` varies what it tells."""
    width, height = pictures.size(content.keyword, content.seed, content.filetype)
    unknown = number % 6 == 5 or kind in (Kind.TINY, Kind.BOMB)  # else a crawler would not even fetch them
    titles = TITLES[content.keyword]
    title = HTML_TITLE.format(content.keyword) if number == 3 else titles[number % len(titles)].format(100 + number)
    return Entry(
        id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{content.keyword}/{number}/{kind}/{content}")),
        kind=kind,
        keyword=content.keyword,
        content=content,
        title=title,
        creator=CREATORS[number % len(CREATORS)],
        license=LICENSES[number % len(LICENSES)],
        width=None if unknown else width,
        height=None if unknown else height,
        filesize=None if number % 4 == 1 else width * height // 8,  # what such files have on average
        filetype=None if number % 9 == 4 else content.filetype,
        reach=reach,
    )
