"""Which of a job's pictures go into an export, in which order, and into which split."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import fields
from operator import attrgetter
from pathlib import Path

from pixcrawler.errors import ExportFailed
from pixcrawler.export.dataset import Dataset, DatasetImage
from pixcrawler.export.splits import assign
from pixcrawler.export_options import ExportOptions
from pixcrawler.rights import allows, normalise

_facts = attrgetter(*(field.name for field in fields(DatasetImage)))  # `asdict` takes ten times as long


class Selection:
    """The pictures that the options let through, in order of position, however they came.

    Their facts wait in the file `path`; in memory are a few numbers of each, and for a split its group's name.
    """

    def __init__(self, path: Path, dataset: Dataset, images: Iterable[DatasetImage], options: ExportOptions) -> None:
        """Raises `ExportFailed` for pictures that are not those of the dataset, or if none is left."""
        self._path = path
        self._positions = array("q")
        self._offsets = array("q")  # where in the file
        self._splits: list[str] = []
        chosen = _Filter(options)
        groups = []
        came = 0
        with path.open("xb") as file:
            for image in images:
                came += 1
                if image.keyword not in dataset.keywords:
                    raise ExportFailed(f"picture {image.position} is of no keyword of this dataset")
                if not chosen.takes(image):
                    continue
                self._positions.append(image.position)
                self._offsets.append(file.tell())
                file.write(json.dumps(_facts(image)).encode() + b"\n")
                if options.split:
                    groups.append((image.keyword, image.group))
        self._check(came, dataset)
        if options.split:
            self._splits = assign(groups, options.split, options.seed)

    def __len__(self) -> int:
        return len(self._positions)

    def __iter__(self) -> Iterator[tuple[str, DatasetImage]]:
        """Each with its split; "": there are none."""
        with self._path.open("rb") as file:
            for place in sorted(range(len(self)), key=self._positions.__getitem__):
                file.seek(self._offsets[place])
                yield self._splits[place] if self._splits else "", DatasetImage(*json.loads(file.readline()))

    def _check(self, came: int, dataset: Dataset) -> None:
        if came != dataset.kept or not came:
            raise ExportFailed(f"{came} pictures to pack, but {dataset.kept} were kept")
        if len(set(self._positions)) < len(self):
            raise ExportFailed("two pictures have the same position in this dataset")
        if not len(self):
            raise ExportFailed(
                f"none of the {came} pictures is one that was asked for: see its rights, sources, keywords"
            )


class _Filter:
    def __init__(self, options: ExportOptions) -> None:
        self._rights = options.rights
        self._sources = frozenset(options.sources)
        self._keywords = frozenset(keyword.casefold() for keyword in options.keywords)

    def takes(self, image: DatasetImage) -> bool:
        return (
            allows(self._rights, normalise(image.license_id))
            and (not self._sources or image.source in self._sources)
            and (not self._keywords or image.keyword.casefold() in self._keywords)
        )
