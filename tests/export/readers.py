"""Opens datasets with the libraries their readers use, in a process of its own: `python readers.py FOLDER`.

The folder has one folder per way of packing; the answer is JSON: for each way of reading, its splits with their rows.
"""

import json
import sys
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import datasets
import webdataset
from PIL import Image

Row = dict[str, Any]


def hugging_face(*given: str, **also: Any) -> dict[str, list[Row]]:
    loaded = datasets.load_dataset(*given, **also)
    return {split: [_row(row, rows.features) for row in rows] for split, rows in loaded.items()}


def _row(row: Row, features: Any) -> Row:
    if isinstance(features.get("label"), datasets.ClassLabel):
        row["label"] = features["label"].int2str(row["label"])
    return {name: value.size if isinstance(value, Image.Image) else value for name, value in row.items()}


def web_dataset(shards: Iterable[Path]) -> list[Row]:
    urls = [str(shard) for shard in sorted(shards)]
    rows = []
    for sample in webdataset.WebDataset(urls, shardshuffle=False):
        body = next(sample[kind] for kind in ("jpg", "png", "webp", "gif") if kind in sample)
        facts = json.loads(sample["json"])
        with Image.open(BytesIO(body)) as image:
            facts |= {"image": image.size, "txt": sample["txt"].decode(), "cls": int(sample["cls"])}
        rows.append(facts | {"key": sample["__key__"]})
    return rows


def main(work: Path) -> None:
    datasets.disable_progress_bars()
    ways: dict[str, Callable[[], Any]] = {
        "parquet": lambda: hugging_face(str(work / "parquet")),
        "parquet files": lambda: hugging_face("parquet", data_files=str(work / "parquet" / "*.parquet")),
        "parquet split": lambda: hugging_face(str(work / "parquet-split")),
        "csv": lambda: hugging_face(str(work / "csv")),
        "jsonl": lambda: hugging_face(str(work / "jsonl")),
        "webdataset": lambda: hugging_face(str(work / "webdataset")),
        "webdataset split": lambda: hugging_face(str(work / "webdataset-split")),
        "folder split": lambda: hugging_face("imagefolder", data_dir=str(work / "zip-split" / "unpacked")),
        "card split": lambda: hugging_face(str(work / "zip-split" / "unpacked")),
        "zip split": lambda: hugging_face("imagefolder", data_files=str(work / "zip-split" / "dataset.zip")),
        "tar": lambda: web_dataset((work / "webdataset").glob("*.tar")),
        "tar train": lambda: web_dataset((work / "webdataset-split").glob("train-*.tar")),
    }
    print(json.dumps({way: read() for way, read in ways.items()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
