"""The text files inside a dataset that have a line per picture. They grow on disk, never in memory."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from pixcrawler.export.dataset import Dataset, DatasetImage
from pixcrawler.export.markdown import cell, escaped, link, one_line
from pixcrawler.rights import Licence, normalise

METADATA = "metadata.jsonl"  # the name, and its place beside the folders, are what Hugging Face's imagefolder reads
ATTRIBUTION = "ATTRIBUTION.md"
LABELS_CSV = "labels.csv"
LABELS_JSON = "labels.json"


class JsonList:
    """A JSON file: an object whose last value is a list, one entry per line."""

    def __init__(self, path: Path, head: Mapping[str, Any], name: str) -> None:
        self._file = create(path)
        self._file.write(as_json({**head, name: []}).removesuffix("]}"))
        self._separator = "\n"

    def add(self, entry: Mapping[str, Any]) -> None:
        self._file.write(self._separator + as_json(entry))
        self._separator = ",\n"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if kind is None:
                self._file.write("\n]}\n")


class Texts:
    """Writes metadata, attribution and labels into a folder and counts what the card tells."""

    def __init__(self, folder: Path, dataset: Dataset) -> None:
        self.keywords: Counter[str] = Counter()
        self.sources: Counter[str] = Counter()
        self.licenses: Counter[str] = Counter()  # by id
        labels = [one_line(keyword) for keyword in dataset.keywords]
        with ExitStack() as files:
            self._metadata = files.enter_context(create(folder / METADATA))
            self._attribution = files.enter_context(create(folder / ATTRIBUTION))
            csv_file = files.enter_context(create(folder / LABELS_CSV))
            self._labels = files.enter_context(JsonList(folder / LABELS_JSON, {"labels": labels}, "images"))
            self._rows = csv.writer(csv_file, lineterminator="\n")
            self._rows.writerow(("file_name", "label"))
            self._attribution.write(f"# {escaped(dataset.name) or 'Dataset'}: who made the pictures\n\n{PREAMBLE}\n")
            self._files = files.pop_all()

    def add(self, name: str, image: DatasetImage) -> None:
        """Books a picture that lies at `name` in the dataset."""
        self.keywords[image.keyword] += 1
        self.sources[image.source] += 1
        self.licenses[image.license_id] += 1
        label = one_line(image.keyword)
        self._metadata.write(as_json(metadata(name, image)) + "\n")
        self._attribution.write(f"- `{name}`: {credit(image)}\n")
        self._rows.writerow((name, cell(label)))
        self._labels.add({"file_name": name, "label": label})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._files.__exit__(*error)


PREAMBLE = """What the sources say about each picture: title, maker, source, licence. Check it before you publish one.
Most licences ask that its line goes with it, and that you say so if you have changed it. Here all are unchanged.
"""


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


def credit(image: DatasetImage) -> str:
    """One line of Markdown: title, maker, source, licence and what it asks, and the statement the source asks for."""
    made = f"“{escaped(image.title) or 'untitled'}” by {escaped(image.creator) or 'an unknown maker'}"
    parts = [
        made + (f" ({link(image.creator_url)})" if image.creator_url else ""),
        f"found with {escaped(image.source)}" + (f" on {link(image.page_url)}" if image.page_url else ""),
        _licence(image),
    ]
    return ", ".join(parts) + (f". {escaped(image.attribution)}" if image.attribution else "")


def _licence(image: DatasetImage) -> str:
    licence = normalise(image.license_id)
    if licence:
        name, url = licence.name, licence.url or image.license_url
    else:
        said = escaped(image.license)
        name, url = "licence unknown" + (f", stated as “{said}”" if said else ""), image.license_url
    return name + (f" ({link(url)})" if url else "") + f": {conditions(licence)}"


def conditions(licence: Licence | None) -> str:
    """What it takes to use a picture under this licence, in a few words."""
    if licence is None:
        return "find out before you use it"
    if licence.reserved:
        return "not free to use"
    asked = {
        "name its maker": licence.attribution,
        "naming its maker is a courtesy": licence.commercial and not licence.attribution,
        "not for commercial use": not licence.commercial,
        "no changed copies": not licence.derivatives,
        "changed copies under the same licence": licence.share_alike,
    }
    return ", ".join(words for words, applies in asked.items() if applies)


def as_json(value: Any) -> str:
    """JSON in one line; every reader of lines agrees where it ends."""
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))


def create(path: Path) -> IO[str]:
    """A new text file with the same bytes on every system."""
    return path.open("x", encoding="utf-8", newline="")
