"""The text files inside a dataset that have a line per picture. They grow on disk, never in memory."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from pixcrawler.export.attribution import ATTRIBUTION, Attribution
from pixcrawler.export.contact_sheet import INDEX, ContactSheet
from pixcrawler.export.dataset import Dataset, DatasetImage
from pixcrawler.export.files import as_json, create
from pixcrawler.export.labels import LABELS, Labels
from pixcrawler.export.markdown import one_line

METADATA = "metadata.jsonl"  # the name, and its place beside the folders, are what Hugging Face's imagefolder reads
TEXTS = (METADATA, ATTRIBUTION, *LABELS, INDEX)


class Texts:
    """Writes all of `TEXTS` into a folder and counts what the card tells."""

    def __init__(self, folder: Path, dataset: Dataset) -> None:
        self.keywords: Counter[str] = Counter()
        self.sources: Counter[str] = Counter()
        self.licenses: Counter[str] = Counter()  # by id
        with ExitStack() as files:
            self._metadata = files.enter_context(create(folder / METADATA))
            self._others = (
                files.enter_context(Attribution(folder / ATTRIBUTION, dataset)),
                files.enter_context(Labels(folder, dataset)),
                files.enter_context(ContactSheet(folder / INDEX, dataset)),
            )
            self._files = files.pop_all()

    def add(self, name: str, image: DatasetImage) -> None:
        """Books a picture that lies at `name` in the dataset."""
        self.keywords[image.keyword] += 1
        self.sources[image.source] += 1
        self.licenses[image.license_id] += 1
        self._metadata.write(as_json(metadata(name, image)) + "\n")
        for file in self._others:
            file.add(name, image)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._files.__exit__(*error)


def metadata(name: str, image: DatasetImage) -> dict[str, str | int]:
    """A line of metadata.jsonl. Unknown is "", not null: a reader takes the types from the first lines."""
    return {
        "file_name": name,
        "label": one_line(image.keyword),
        "position": image.position,
        "width": image.width,
        "height": image.height,
        "format": image.format,
        "sha256": image.sha256,
        "source": one_line(image.source),
        "original_url": one_line(image.original_url),
        "page_url": one_line(image.page_url),
        "title": one_line(image.title),
        "creator": one_line(image.creator),
        "creator_url": one_line(image.creator_url),
        "license_id": one_line(image.license_id),
        "license": one_line(image.license),
        "license_url": one_line(image.license_url),
        "attribution": one_line(image.attribution),
    }
