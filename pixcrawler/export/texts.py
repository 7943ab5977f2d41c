"""The text files inside a dataset that have a line per picture. They grow on disk, never in memory."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Self

from pixcrawler.export.attribution import ATTRIBUTION, Attribution
from pixcrawler.export.contact_sheet import INDEX, ContactSheet
from pixcrawler.export.dataset import Dataset, DatasetImage
from pixcrawler.export.files import as_json, create
from pixcrawler.export.labels import LABELS, Labels
from pixcrawler.export.layouts import FOLDERS, WITH_PICTURES
from pixcrawler.export.markdown import cell, one_line
from pixcrawler.export_options import ExportOptions
from pixcrawler.jobs import ExportFormat

METADATA = "metadata.jsonl"  # the name, and its place beside the folders, are what Hugging Face's imagefolder reads
METADATA_CSV = "metadata.csv"


class CsvTable:
    """What is known of each picture, for spreadsheets."""

    def __init__(self, file: IO[str]) -> None:
        self._rows = csv.writer(file, lineterminator="\n")
        self._begun = False

    def add(self, facts: Mapping[str, str | int]) -> None:
        if not self._begun:
            self._rows.writerow(facts)
            self._begun = True
        self._rows.writerow(cell(fact) if isinstance(fact, str) else fact for fact in facts.values())


class Texts:
    """Writes them into a folder and counts what the card tells. There will be so many `pictures`."""

    def __init__(
        self, folder: Path, dataset: Dataset, kind: ExportFormat, options: ExportOptions, pictures: int
    ) -> None:
        self.keywords: Counter[str] = Counter()
        self.sources: Counter[str] = Counter()
        self.licenses: Counter[str] = Counter()  # by id
        self.splits: Counter[str] = Counter()
        self._folder = folder
        self._has_splits = bool(options.split)
        self._in_folders = kind in FOLDERS
        self._metadata: dict[str, IO[str]] = {}  # by the file's name
        rewritten = options.rewrites and kind in WITH_PICTURES
        with ExitStack() as files:
            self._others: list[Attribution | Labels | ContactSheet] = [
                files.enter_context(Attribution(folder / ATTRIBUTION, dataset, rewritten=rewritten)),
                files.enter_context(Labels(folder, dataset)),
            ]
            if self._in_folders:  # it shows the pictures beside it
                self._others.append(files.enter_context(ContactSheet(folder / INDEX, dataset, pictures)))
            self._table = (
                CsvTable(files.enter_context(create(folder / METADATA_CSV))) if kind == ExportFormat.CSV else None
            )
            self._files = files.pop_all()

    @property
    def names(self) -> list[str]:
        """The files it has written, in the order in which they go into an archive."""
        table = [METADATA_CSV] if self._table else []
        sheet = [INDEX] if self._in_folders else []
        return [*self._metadata, *table, ATTRIBUTION, *LABELS, *sheet]

    @property
    def metadata_names(self) -> dict[str, str]:
        """The files of metadata: by split, where pictures lie in folders of theirs."""
        return {name.rpartition("/")[0]: name for name in self._metadata}

    def add(self, name: str, image: DatasetImage) -> None:
        """Books a picture that lies at `name` in the dataset."""
        self.keywords[image.keyword] += 1
        self.sources[image.source] += 1
        self.licenses[image.license_id] += 1
        self._add_metadata(name, image)
        for file in self._others:
            file.add(name, image)

    def _add_metadata(self, name: str, image: DatasetImage) -> None:
        """Where pictures lie in folders of their split, its loader wants what is known of them there too."""
        split = name.partition("/")[0] if self._has_splits else ""
        self.splits[split] += 1
        folder = f"{split}/" if split and self._in_folders else ""
        file = self._metadata.get(folder + METADATA) or self._new_metadata(folder)
        file.write(as_json(metadata(name.removeprefix(folder), image)) + "\n")
        if self._table:
            self._table.add(metadata(name, image))

    def _new_metadata(self, folder: str) -> IO[str]:
        (self._folder / folder).mkdir(exist_ok=True)
        file = self._files.enter_context(create(self._folder / folder / METADATA))
        self._metadata[folder + METADATA] = file
        return file

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
        "original_sha256": image.original_sha256 or image.sha256,
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
