"""A dataset as one ZIP: the same dataset is the same bytes, whoever builds it, wherever and whenever."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from pixcrawler import __version__
from pixcrawler.errors import ExportFailed, StorageFailed
from pixcrawler.export.card import readme
from pixcrawler.export.croissant import CROISSANT, croissant
from pixcrawler.export.dataset import Dataset, DatasetImage
from pixcrawler.export.files import JsonList, create
from pixcrawler.export.texts import METADATA, TEXTS, Texts
from pixcrawler.naming import keyword_slugs, member_name
from pixcrawler.storage.faults import cause, explained

README = "README.md"
MANIFEST = "manifest.json"
CHUNK = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Built:
    """A finished file."""

    size: int  # bytes
    sha256: str  # 64 hex digits
    entries: int  # files inside


def build(dataset: Dataset, images: Iterable[DatasetImage], read: Callable[[str], bytes], out: Path) -> Built:
    """Packs the images, in order of position, into `out`; `read` gets the bytes of a storage key.

    One picture is in memory at a time. `out` appears whole or not at all. Blocks: run it in a thread. Raises
    `ExportFailed` naming the picture that is missing or changed, `StorageFailed` if the disk is full.
    """
    with explained(str(out)), TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as name:
        folder = Path(name)
        part = folder / "part"
        with part.open("xb") as file:
            entries = _pack(dataset, images, read, folder, file)
            file.flush()
            os.fsync(file.fileno())
        built = Built(part.stat().st_size, _sha256_of_file(part), entries)
        part.replace(out)
    return built


def verify(path: Path, built: Built) -> None:
    """Opens a finished ZIP, reads every byte and compares with `built` and its own manifest. Raises `ExportFailed`."""
    try:
        with explained(str(path)):
            _compare("size", path.stat().st_size, built.size)
            _compare("SHA-256", _sha256_of_file(path), built.sha256)
            with ZipFile(path) as archive:
                _compare("number of files", len(archive.infolist()), built.entries)
                _compare_members(archive)
    except (ExportFailed, BadZipFile, KeyError, ValueError) as error:
        raise ExportFailed(f"{path.name} is not what was built: {error}") from error


class _Packer:
    """Writes members and their line in the manifest."""

    def __init__(self, archive: ZipFile, manifest: JsonList) -> None:
        self._archive = archive
        self._manifest = manifest

    def add_picture(self, name: str, body: bytes, sha256: str) -> None:
        self._archive.writestr(_info(name, len(body)), body)
        self._manifest.add({"name": name, "size": len(body), "sha256": sha256})

    def add_file(self, name: str, path: Path) -> None:
        size = path.stat().st_size
        self._copy(name, path, size)
        self._manifest.add({"name": name, "size": size, "sha256": _sha256_of_file(path)})

    def finish(self, path: Path) -> int:
        """Adds the manifest, the only file it does not list. Returns the number of files."""
        self._copy(MANIFEST, path, path.stat().st_size)
        return len(self._archive.infolist())

    def _copy(self, name: str, path: Path, size: int) -> None:
        with path.open("rb") as source, self._archive.open(_info(name, size), "w") as member:
            shutil.copyfileobj(source, member, CHUNK)


def _pack(
    dataset: Dataset, images: Iterable[DatasetImage], read: Callable[[str], bytes], folder: Path, file: IO[bytes]
) -> int:
    slugs = keyword_slugs(dataset.keywords)
    with ZipFile(file, "w", ZIP_STORED) as archive:
        with JsonList(folder / MANIFEST, _head(dataset), "files") as manifest:
            packer = _Packer(archive, manifest)
            with Texts(folder, dataset) as texts:
                _add_pictures(dataset, images, read, slugs, packer, texts)
            with create(folder / README) as card:
                card.write(readme(dataset, texts, slugs))
            with create(folder / CROISSANT) as description:
                description.write(croissant(dataset, texts, _sha256_of_file(folder / METADATA)))
            for name in (*TEXTS, CROISSANT, README):
                packer.add_file(name, folder / name)
        return packer.finish(folder / MANIFEST)


def _add_pictures(
    dataset: Dataset,
    images: Iterable[DatasetImage],
    read: Callable[[str], bytes],
    slugs: Mapping[str, str],
    packer: _Packer,
    texts: Texts,
) -> None:
    last = packed = 0
    for image in images:
        if image.position <= last or image.keyword not in slugs:
            raise ExportFailed(f"picture {image.position} does not belong after picture {last} of this dataset")
        name = member_name(slugs[image.keyword], image.position, image.sha256, image.extension)
        packer.add_picture(name, _checked(name, image, read), image.sha256)
        texts.add(name, image)
        last, packed = image.position, packed + 1
    if packed != dataset.kept or not packed:
        raise ExportFailed(f"{packed} pictures to pack, but {dataset.kept} were kept")


def _checked(name: str, image: DatasetImage, read: Callable[[str], bytes]) -> bytes:
    try:
        body = read(image.storage_key)
    except StorageFailed as error:
        raise ExportFailed(f"{name} cannot be packed: {error}") from error
    except OSError as error:
        raise ExportFailed(f"{name} cannot be packed: {cause(error)}: {image.storage_key}") from error
    if hashlib.sha256(body).hexdigest() != image.sha256:
        raise ExportFailed(f"{name} cannot be packed: its bytes have changed: {image.storage_key}")
    return body


def _head(dataset: Dataset) -> dict[str, Any]:
    return {
        "job": dataset.job,
        "version": dataset.version,
        "pictures": dataset.kept,
        "made_by": f"PixCrawler {__version__}",
    }


def _info(name: str, size: int) -> ZipInfo:
    info = ZipInfo(name)  # 1 January 1980
    info.create_system = 3  # Unix, so that the mode counts
    info.external_attr = 0o100644 << 16
    info.file_size = size  # tells zipfile before it writes whether the entry needs ZIP64
    return info


def _compare_members(archive: ZipFile) -> None:
    members = archive.infolist()
    manifest = json.loads(archive.read(MANIFEST))
    for info, entry in zip_longest(members[:-1], manifest["files"]):
        name = entry["name"] if entry else info.filename
        if info is None or entry is None or info.filename != name:
            raise ExportFailed(f"{name} is not in its place")
        with archive.open(info) as member:
            _compare(f"size of {name}", info.file_size, entry["size"])
            _compare(f"SHA-256 of {name}", hashlib.file_digest(member, "sha256").hexdigest(), entry["sha256"])  # type: ignore[arg-type]


def _compare(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise ExportFailed(f"{what} is {found}, not {expected}")


def _sha256_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
