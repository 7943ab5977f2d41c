"""Reads back what was built, every byte of it, with the libraries its readers use."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from pixcrawler.errors import ExportFailed, StorageFailed
from pixcrawler.export import parquet, seven_zip, webdataset
from pixcrawler.export import zip as zip_format
from pixcrawler.export.container import MANIFEST, Built, Member, member_of
from pixcrawler.export.files import read_list
from pixcrawler.export.shards import Contents
from pixcrawler.export.texts import METADATA
from pixcrawler.jobs import ExportFormat
from pixcrawler.storage.faults import explained

ARCHIVES: Mapping[ExportFormat, Any] = {ExportFormat.ZIP: zip_format, ExportFormat.SEVEN_ZIP: seven_zip}
SHARDS: Mapping[ExportFormat, tuple[str, Callable[[Path], Contents]]] = {
    ExportFormat.WEBDATASET: (webdataset.SUFFIX, webdataset.pictures),
    ExportFormat.PARQUET: (parquet.SUFFIX, parquet.pictures),
}


def verify(kind: ExportFormat, folder: Path, built: Built) -> None:
    """Compares the files with `built`, and what is inside with their own manifest. Raises `ExportFailed`."""
    try:
        with explained(str(folder)):
            for file in built.files:
                _compare(member_of(file.name, folder / file.name), Member(file.name, file.size, file.sha256))
            if kind in ARCHIVES:
                _verify_archive(ARCHIVES[kind], folder / built.files[0].name, built.pictures)
            else:
                _verify_folder(kind, folder, built)
    except StorageFailed:
        raise
    except Exception as error:  # of the many that readers raise on what is no good file
        raise ExportFailed(f"{built.files[0].name} is not what was built: {error or type(error).__name__}") from error


def _verify_archive(kind: Any, path: Path, pictures: int) -> None:
    head, files = read_list(kind.read_text(path, MANIFEST))
    _same("number of pictures", head["pictures"], pictures)
    listed = (Member(**file) for file in files)
    for found, expected in zip_longest(kind.members(path), listed):
        if expected is None and found.name == MANIFEST:
            continue
        _compare(found, expected)


def _verify_folder(kind: ExportFormat, folder: Path, built: Built) -> None:
    head, listed = read_list((folder / MANIFEST).read_bytes())
    _same("number of pictures", head["pictures"], built.pictures)
    files = [Member(file.name, file.size, file.sha256) for file in built.files if file.name != MANIFEST]
    for found, expected in zip_longest(files, sorted(Member(**file) for file in listed)):
        _compare(found, expected)
    counted = sum(1 for _ in _rows(folder))
    _same("number of pictures", counted, built.pictures)
    if kind in SHARDS:
        _same("number of pictures", _verify_shards(*SHARDS[kind], folder, files), built.pictures)


def _verify_shards(suffix: str, contents: Callable[[Path], Contents], folder: Path, files: Iterable[Member]) -> int:
    """Compares the pictures of each split with their lines in the metadata. Returns their number."""
    names = [file.name for file in files if file.name.endswith(f".{suffix}")]
    number = 0
    for split in sorted({name.partition("-")[0] for name in names}):
        inside = chain.from_iterable(contents(folder / name) for name in names if name.startswith(f"{split}-"))
        prefix = "" if split == "shard" else f"{split}/"
        lines = ((row["file_name"], row["sha256"]) for row in _rows(folder) if row["file_name"].startswith(prefix))
        for found, expected in zip_longest(inside, lines):
            _same("picture", found, expected)
            number += 1
    return number


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    with (folder / METADATA).open("rb") as file:
        yield from map(json.loads, file)


def _compare(found: Member | None, expected: Member | None) -> None:
    if found is None or expected is None or found.name != expected.name:
        name = (expected or found or Member("", 0, "")).name
        raise ExportFailed(f"{name} is not in its place")
    _same(f"size of {found.name}", found.size, expected.size)
    _same(f"SHA-256 of {found.name}", found.sha256, expected.sha256)


def _same(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise ExportFailed(f"{what} is {found}, not {expected}")
