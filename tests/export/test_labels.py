"""The label files say the same, each to its own readers."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pixcrawler.export.labels import LABELS_CSV, LABELS_JSON, LABELS_TXT, LABELS_YAML, Labels
from pixcrawler.export.markdown import cell, one_line

KEYWORD = st.one_of(st.text(st.characters(), max_size=30), st.text("'\"{}[]:#-&*!|>%@`, \n\\=+", max_size=12))


@settings(max_examples=60)
@given(keywords=st.lists(KEYWORD, min_size=1, max_size=4, unique=True))
def test_every_reader_finds_the_same_labels(make: Any, keywords: list[str], tmp_path_factory: Any) -> None:
    folder: Path = tmp_path_factory.mktemp("labels")
    with Labels(folder, make.dataset(len(keywords), keywords=tuple(keywords))) as labels:
        for n, keyword in enumerate(keywords):
            labels.add(f"train/folder-{n}/00000{n}_ab.jpg", make.entry(n, b"", keyword=keyword))
    words = [one_line(keyword) for keyword in keywords]
    pairs = [(f"train/folder-{n}/00000{n}_ab.jpg", word) for n, word in enumerate(words)]
    read = {name: (folder / name).read_bytes().decode() for name in (LABELS_CSV, LABELS_JSON, LABELS_YAML, LABELS_TXT)}

    said = json.loads(read[LABELS_JSON])
    assert yaml.safe_load(read[LABELS_YAML]) == said
    assert said["labels"] == words
    assert [(image["file_name"], image["label"]) for image in said["images"]] == pairs
    assert [tuple(line.split("\t")) for line in read[LABELS_TXT].split("\n")[:-1]] == pairs
    rows = [tuple(row) for row in csv.reader(read[LABELS_CSV].split("\n")[:-1])]
    assert rows == [("file_name", "label"), *((name, cell(word)) for name, word in pairs)]
