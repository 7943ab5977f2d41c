"""How well copies are told from other pictures, and how fast; `quality` and `speed`, each a table and JSON.

Run by hand, `.venv/bin/python benchmarks/duplicates.py quality|speed [--json FILE]`. `quality` fetches 0.7 GB of
Debian's packages with `apt-get download` into `--folder` and makes copies of what is in them. `speed` starts a
PostgreSQL of its own.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in the workers

import numpy as np
from claims import speed
from copies import FAMILIES
from material import fetch, kinds
from PIL import Image

from pixcrawler.duplicates import Index, nearest
from pixcrawler.imaging import inspect
from pixcrawler.items import Inspection
from pixcrawler.likeness import PRESETS, Preset

COPIED = ("photographs", "products on white", "screenshots")  # of which recall is told
MIXED = "made here"  # not among the real pictures

Recall = dict[tuple[str, str, str], list[bool]]  # by kind, family and transform


def quality(folder: Path, most: int, copied: int) -> dict[str, Any]:
    """Tells which share of copies each preset finds, and which share of distinct pictures it drops."""
    fetch(folder)
    pictures = kinds(folder, most)
    originals = {kind: [inspect(png(image)) for image in images] for kind, images in pictures.items()}
    found: dict[str, Recall] = {name: defaultdict(list) for name in PRESETS}
    for kind in COPIED:
        for image, original in zip(pictures[kind][:copied], originals[kind], strict=False):
            if original.looks is None:
                continue
            for family, transform, copy in copies(image, seed=len(found["exact"])):
                for name, recall in found.items():
                    recall[kind, family, transform].append(is_copy(PRESETS[name], copy, original))
    return {name: told(recall, dropped(PRESETS[name], originals)) for name, recall in found.items()}


def png(image: Image.Image) -> bytes:
    return FAMILIES["core"]["png"](image, np.random.default_rng())


def copies(image: Image.Image, seed: int) -> Iterator[tuple[str, str, Inspection]]:
    random = np.random.default_rng(seed)
    for family, transforms in FAMILIES.items():
        for name, transform in transforms.items():
            yield family, name, inspect(transform(image, random))


def is_copy(preset: Preset, copy: Inspection, original: Inspection) -> bool:
    if copy.sha256 == original.sha256:
        return True
    if copy.looks is None or original.looks is None or not preset.rules:
        return False
    index = Index()
    index.add([(0, original.sha256, original.looks.codes)])
    proposals = index.near(copy.looks, preset)
    return nearest(preset, copy.looks, proposals, {0: original.looks.fingerprint}) is not None


def dropped(preset: Preset, originals: dict[str, list[Inspection]]) -> dict[str, tuple[int, int]]:
    """How many of each kind are taken for copies when all come in random order, and how many there are."""
    stream = [(kind, seen) for kind, some in originals.items() for seen in some]
    np.random.default_rng(0).shuffle(stream)  # type: ignore[arg-type]
    index, prints, lost = Index(), dict[int, bytes](), Counter[str]()
    for number, (kind, seen) in enumerate(stream):
        looks = seen.looks
        if looks and preset.rules and nearest(preset, looks, index.near(looks, preset), prints):
            lost[kind] += 1
            continue
        index.add([(number, seen.sha256, looks.codes if looks else b"")])
        prints[number] = looks.fingerprint if looks else b""
    return {kind: (lost[kind], len(some)) for kind, some in originals.items()}


def told(recall: Recall, lost: dict[str, tuple[int, int]]) -> dict[str, Any]:
    families: dict[str, dict[str, float]] = defaultdict(dict)
    for kind in COPIED:
        for family in FAMILIES:
            hits = [hit for (k, f, _), some in recall.items() if (k, f) == (kind, family) for hit in some]
            families[kind][family] = percent(sum(hits), len(hits))
    real = [pair for kind, pair in lost.items() if kind != MIXED]
    return {
        "recall": families,
        "transforms": {name: percent(sum(some), len(some)) for (k, _, name), some in recall.items() if k == COPIED[0]},
        "dropped": {kind: percent(*pair) for kind, pair in lost.items()}
        | {
            "all real ones": percent(*map(sum, zip(*real, strict=True))),
            "all": percent(*map(sum, zip(*lost.values(), strict=True))),
        },
        "pictures": {kind: number for kind, (_, number) in lost.items()},
    }


def percent(some: int, of: int) -> float:
    return round(100 * some / max(of, 1), 2)


def show(results: dict[str, Any]) -> None:
    """Tables of what `quality` tells."""
    names = list(results)
    print(f"\n{'% of copies found':40}" + "".join(f"{name:>10}" for name in names))
    for kind in COPIED:
        for family in FAMILIES:
            row(f"{kind}, {family}", [results[name]["recall"][kind][family] for name in names])
    print(f"\n{'% of distinct pictures dropped':40}" + "".join(f"{name:>10}" for name in names))
    for kind in results[names[0]]["dropped"]:
        number = results[names[0]]["pictures"].get(kind)
        row(f"{kind} ({number})" if number else kind, [results[name]["dropped"][kind] for name in names])
    print(f"\n{'% of copies of photographs found':40}" + "".join(f"{name:>10}" for name in names))
    for transform in results[names[0]]["transforms"]:
        row(transform, [results[name]["transforms"][transform] for name in names])


def row(title: str, figures: list[float]) -> None:
    print(f"{title:40}" + "".join(f"{figure:10.1f}" for figure in figures))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("quality", "speed"))
    parser.add_argument("--folder", type=Path, default=Path("/tmp/pixcrawler-pictures"))
    parser.add_argument("--most", type=int, default=500, help="pictures of each kind")
    parser.add_argument("--copied", type=int, default=60, help="of which copies are made")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.what == "quality":
        arguments.folder.mkdir(parents=True, exist_ok=True)
        results = quality(arguments.folder, arguments.most, arguments.copied)
        show(results)
    else:
        results = speed(arguments.rows)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
