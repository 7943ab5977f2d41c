import hashlib
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from worlds import node, settings, world

from pixcrawler.export import formats
from pixcrawler.export.dataset import Dataset, DatasetImage, RunLine
from pixcrawler.export.formats import Built
from pixcrawler.export_options import ExportOptions
from pixcrawler.jobs import ExportFormat, Funnel

# The first two are names of splits to Hugging Face, the third has one in it, the last two have the same letters.
KEYWORDS = ("train", "test", "steam-train", "red panda", "猫", "../../etc", "réd panda", "RED Panda")
HOSTILE = (
    '=cmd|"/c calc"!A1, <script>alert(1)</script> [x](javascript:alert(1)) ![x](http://evil.example/x.png) `|`\n\n'
    "# no\r\n\u2028\u202egpj\ud800\0 www.evil.example https://evil.example $x$ &lt;b&gt; 1 * 2 * 3 __init__"
)


@dataclass(frozen=True)
class Case:
    """A dataset ready to be packed."""

    dataset: Dataset
    images: list[DatasetImage]
    read: Callable[[str], bytes]


def picture(number: int, kind: str = "jpeg") -> bytes:
    colour = (number * 40 % 256, number * 90 % 256, 80)
    file = io.BytesIO()
    Image.new("RGB", (16 + number, 16), colour).save(file, kind)
    return file.getvalue()


def entry(number: int, body: bytes, **changes: Any) -> DatasetImage:
    digest = hashlib.sha256(body).hexdigest()
    facts: dict[str, Any] = {
        "position": number,
        "keyword": KEYWORDS[number % len(KEYWORDS)],
        "sha256": digest,
        "extension": "jpg",
        "format": "jpeg",
        "storage_key": f"jobs/7/images/{digest[:2]}/{digest}.jpg",
        "width": 16 + number,
        "height": 16,
        "source": "openverse",
        "page_url": f"https://pages.example/{number}",
        "title": "" if number == 1 else f"Picture *{number}*",
        "creator": "",
        "creator_url": "",
        "license": "by" if number % 2 else "cc0",
        "license_url": "https://creativecommons.org/licenses/by/4.0/",
        "license_id": "CC-BY-4.0" if number % 2 else "CC0-1.0",
        "attribution": "",
        "original_url": f"https://images.example/{number}.jpg?a=1&b=2",
    }
    return DatasetImage(**facts | changes)


def dataset(kept: int, **changes: Any) -> Dataset:
    facts: dict[str, Any] = {
        "job": 7,
        "name": "Pandas | and *trains*",
        "version": 1,
        "keywords": KEYWORDS,
        "sources": ("openverse", "urls"),
        "asked": 20,
        "kept": kept,
        "outcome": "Short: the sources have no more.",
        "funnel": Funnel({"kept": kept, "too_small": 3, "near_duplicate": 5}),
        "runs": (RunLine("openverse", KEYWORDS, kept, kept + 8, {"too_small": 3, "near_duplicate": 5}),),
        "collected": (datetime(2026, 11, 30, 9, tzinfo=UTC), datetime(2026, 11, 30, 10, tzinfo=UTC)),
    }
    return Dataset(**facts | changes)


def hostile_case() -> Case:
    """Twelve pictures of eight keywords; the fifth has a hostile owner."""
    bodies = [picture(n) for n in range(1, 13)]
    images = [entry(n, body) for n, body in enumerate(bodies, 1)]
    images[4] = replace(images[4], title=HOSTILE, creator=HOSTILE, license=HOSTILE, license_id="", attribution=HOSTILE)
    files = {image.storage_key: body for image, body in zip(images, bodies, strict=True)}
    return Case(dataset(len(images)), images, files.__getitem__)


def build(
    dataset: Dataset,
    images: Iterable[DatasetImage],
    read: Callable[[str], bytes],
    folder: Path,
    kind: ExportFormat = ExportFormat.ZIP,
    tell: Callable[[int], None] = lambda packed: None,
    **options: Any,
) -> Built:
    return formats.build(kind, dataset, images, read, folder, ExportOptions.parse(options), tell)


class Make:
    """Parts of datasets, for tests that need their own."""

    picture = staticmethod(picture)
    entry = staticmethod(entry)
    dataset = staticmethod(dataset)
    build = staticmethod(build)
    case = staticmethod(hostile_case)
    keywords = KEYWORDS
    hostile = HOSTILE


@pytest.fixture(scope="session")
def make() -> type[Make]:
    return Make


@pytest.fixture
def case() -> Case:
    return hostile_case()


@pytest.fixture
def built(case: Case, tmp_path: Path) -> tuple[Path, Built]:
    return tmp_path / "dataset.zip", build(case.dataset, case.images, case.read, tmp_path)


__all__ = ["node", "settings", "world"]
