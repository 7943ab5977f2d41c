"""Parquet files with the pictures in a column, as Hugging Face's `datasets` reads and shows them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pixcrawler.export.container import Picture
from pixcrawler.export.shards import Contents
from pixcrawler.export.texts import metadata

SUFFIX = "parquet"
GROUP_BYTES = 16 << 20  # of pictures; a reader that wants one fetches its group, and three splits are open at once
GROUP_ROWS = 1000  # of pictures that have few bytes
PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
TYPES: Mapping[type, tuple[str, pa.DataType]] = {str: ("string", pa.string()), int: ("int64", pa.int64())}


class Parquet:
    """A `Shard`: the picture, its label as a number, and the columns of metadata.jsonl."""

    def __init__(self, file: IO[bytes], labels: Sequence[str]) -> None:
        self._file = file
        self._labels = labels
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0
        self._schema: pa.Schema | None = None
        self._writer: pq.ParquetWriter | None = None

    def add(self, picture: Picture) -> None:
        facts = metadata(picture.name, picture.image)
        del facts["file_name"]
        image = {"bytes": picture.body, "path": picture.name}
        self._rows.append({"image": image, **facts, "label": picture.label})
        self._bytes += len(picture.body)
        if self._bytes >= GROUP_BYTES or len(self._rows) >= GROUP_ROWS:
            self._write_group()

    def finish(self) -> None:
        if self._rows:
            self._write_group()
        if self._writer:
            self._writer.close()

    def _write_group(self) -> None:
        self._schema = self._schema or self._schema_of(self._rows[0])
        self._writer = self._writer or _writer(self._file, self._schema)
        self._writer.write_table(pa.Table.from_pylist(self._rows, self._schema))
        self._rows.clear()
        self._bytes = 0

    def _schema_of(self, row: Mapping[str, Any]) -> pa.Schema:
        """With what Hugging Face's loader wants to know about the columns."""
        facts = {name: TYPES[type(value)] for name, value in row.items() if name != "image"}
        features: dict[str, Any] = {name: {"dtype": dtype, "_type": "Value"} for name, (dtype, _) in facts.items()}
        features |= {"image": {"_type": "Image"}, "label": {"names": self._labels, "_type": "ClassLabel"}}
        schema = pa.schema([("image", PICTURE), *((name, arrow) for name, (_, arrow) in facts.items())])
        return schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def _writer(file: IO[bytes], schema: pa.Schema) -> pq.ParquetWriter:
    facts = [name for name in schema.names if name != "image"]
    return pq.ParquetWriter(
        file,
        schema,
        compression={"image.bytes": "none", "image.path": "zstd", **dict.fromkeys(facts, "zstd")},
        use_dictionary=facts,  # type: ignore[arg-type]  # pictures are all different,
        write_statistics=facts,  # and nobody looks for the smallest one
    )


def pictures(path: Path) -> Contents:
    """Name and SHA-256 of every picture inside."""
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            for image in file.read_row_group(group, ["image"])["image"]:
                yield image["path"].as_py(), hashlib.sha256(image["bytes"].as_buffer()).hexdigest()
