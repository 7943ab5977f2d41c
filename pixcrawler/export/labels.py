"""Which picture has which label, in the formats that tools and people know: CSV, JSON, YAML, plain text."""

from __future__ import annotations

import csv
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from pixcrawler.export.dataset import Dataset, DatasetImage
from pixcrawler.export.files import JsonList, as_json, create
from pixcrawler.export.markdown import cell, one_line

LABELS_CSV = "labels.csv"
LABELS_JSON = "labels.json"
LABELS_YAML = "labels.yaml"
LABELS_TXT = "labels.txt"
LABELS = (LABELS_CSV, LABELS_JSON, LABELS_YAML, LABELS_TXT)

NOT_IN_YAML = re.compile("[\ufeff\ufffe\uffff]")  # as they are; JSON takes them


class Labels:
    """Writes the four files into a folder."""

    def __init__(self, folder: Path, dataset: Dataset) -> None:
        labels = [one_line(keyword) for keyword in dataset.keywords]
        with ExitStack() as files:
            table = files.enter_context(create(folder / LABELS_CSV))
            self._json = files.enter_context(JsonList(folder / LABELS_JSON, {"labels": labels}, "images"))
            self._yaml = files.enter_context(create(folder / LABELS_YAML))
            self._text = files.enter_context(create(folder / LABELS_TXT))
            self._table = csv.writer(table, lineterminator="\n")
            self._table.writerow(("file_name", "label"))
            self._yaml.write("labels:\n" + "".join(f"- {yaml(label)}\n" for label in labels) + "images:\n")
            self._files = files.pop_all()

    def add(self, name: str, image: DatasetImage) -> None:
        """Books a picture that lies at `name` in the dataset."""
        label = one_line(image.keyword)
        self._table.writerow((name, cell(label)))
        self._json.add({"file_name": name, "label": label})
        self._yaml.write(f"- {{file_name: {yaml(name)}, label: {yaml(label)}}}\n")
        self._text.write(f"{name}\t{label}\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._files.__exit__(*error)


def yaml(text: str) -> str:
    """The text between quotes, as JSON and YAML both understand it."""
    return NOT_IN_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", as_json(text))
