"""Builds the files of a dataset in one of the formats, and reads back what was built.

The same pictures and options are the same bytes: whoever builds, wherever, whenever, in whatever order rows come.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pixcrawler import __version__
from pixcrawler.export import parquet, seven_zip, webdataset
from pixcrawler.export import zip as zip_format
from pixcrawler.export.card import readme
from pixcrawler.export.container import MANIFEST, Container, Member, Picture, member_of
from pixcrawler.export.container import Built as Built
from pixcrawler.export.container import BuiltFile as BuiltFile
from pixcrawler.export.croissant import CROISSANT, croissant
from pixcrawler.export.dataset import Dataset, DatasetImage
from pixcrawler.export.files import JsonList, create
from pixcrawler.export.layouts import FOLDERS, WITH_PICTURES
from pixcrawler.export.markdown import one_line
from pixcrawler.export.reading import Read, Rewriter, ahead, checked
from pixcrawler.export.selection import Selection
from pixcrawler.export.shards import NoPictures, Shards
from pixcrawler.export.texts import Texts
from pixcrawler.export.verification import verify as verify
from pixcrawler.export_options import ExportOptions
from pixcrawler.jobs import ExportFormat
from pixcrawler.naming import keyword_slugs, member_name
from pixcrawler.storage.faults import explained

README = "README.md"

TEXT_BYTES = 16_000  # per picture, twice: its lines in all texts, their copies in an archive, the headers around them
LEAST_BYTES = 1 << 20  # of a dataset of few pictures
REWRITTEN_TIMES = 4  # as many bytes as before at most, such as a PNG that had a palette, or a JPEG of low quality

CONTENT_TYPES = {
    ".zip": "application/zip",
    ".7z": "application/x-7z-compressed",
    ".tar": "application/x-tar",
    ".parquet": "application/vnd.apache.parquet",
    ".md": "text/markdown; charset=utf-8",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".csv": "text/csv; charset=utf-8",
    ".yaml": "application/yaml",
    ".txt": "text/plain; charset=utf-8",
}


def build(
    kind: ExportFormat,
    dataset: Dataset,
    images: Iterable[DatasetImage],
    read: Read,
    folder: Path,
    options: ExportOptions,
    tell: Callable[[int], None],
) -> Built:
    """Builds the files in `folder`: all of them or none; `read` gets the bytes of a storage key, also in threads.

    A few pictures are in memory at a time. `tell` hears how many are packed; what it raises ends the work. Blocks: run
    it in a thread. Raises `ExportFailed` naming the picture that is missing or changed, or if the options leave none;
    `StorageFailed` if the disk is full.
    """
    with explained(str(folder)), TemporaryDirectory(prefix=".building-", dir=folder) as name:
        work = Path(name)
        selection = Selection(work / "selection", dataset, images, options)
        (files := work / "files").mkdir()
        (texts := work / "texts" if kind in FOLDERS else files).mkdir(exist_ok=True)
        pictures = _pictures(kind, dataset, selection, read, options)
        _pack(kind, dataset, options, pictures, len(selection), files, texts, tell)
        built = Built(tuple(_built(path) for path in sorted(files.iterdir())), len(selection))
        for file in built.files:
            (files / file.name).replace(folder / file.name)
    return built


def _built(path: Path) -> BuiltFile:
    return BuiltFile(*member_of(path.name, path), CONTENT_TYPES[path.suffix])


def _pictures(
    kind: ExportFormat, dataset: Dataset, selection: Selection, read: Read, options: ExportOptions
) -> Generator[Picture]:
    slugs = keyword_slugs(dataset.keywords)
    labels = {keyword: place for place, keyword in enumerate(slugs)}
    rewriter = Rewriter(options) if options.rewrites and kind in WITH_PICTURES else None

    def picture(chosen: tuple[str, DatasetImage]) -> Picture:
        split, image = chosen
        folder = f"{split}/{slugs[image.keyword]}" if split else slugs[image.keyword]
        name = member_name(folder, image.position, image.sha256, image.extension)
        body = checked(name, image, read) if kind in WITH_PICTURES else b""
        if rewriter:
            image, body = rewriter(name, image, body)
            name = member_name(folder, image.position, image.sha256, image.extension)
        return Picture(name, split, labels[image.keyword], body, image)

    with rewriter or ExitStack():
        yield from ahead(picture, selection)


def _container(kind: ExportFormat, folder: Path, labels: list[str], options: ExportOptions) -> Container:
    match kind:
        case ExportFormat.ZIP:
            return zip_format.Zip(folder)
        case ExportFormat.SEVEN_ZIP:
            return seven_zip.SevenZip(folder, ultra=options.ultra)
        case ExportFormat.WEBDATASET:
            return Shards(folder, webdataset.SUFFIX, webdataset.Tar)
        case ExportFormat.PARQUET:
            return Shards(folder, parquet.SUFFIX, partial(parquet.Parquet, labels=labels))
        case ExportFormat.CSV | ExportFormat.JSONL:
            return NoPictures()


def _pack(
    kind: ExportFormat,
    dataset: Dataset,
    options: ExportOptions,
    pictures: Generator[Picture],
    count: int,
    files: Path,
    texts: Path,
    tell: Callable[[int], None],
) -> None:
    """Leaves in `files` what is handed out; `texts` is the same folder, unless they are handed out inside a file."""
    slugs = keyword_slugs(dataset.keywords)
    with _container(kind, files, [one_line(keyword) for keyword in slugs], options) as container:
        with JsonList(texts / MANIFEST, _head(kind, dataset, options, count), "files") as manifest:
            with Texts(texts, dataset, kind, options, count) as told, closing(pictures):
                for packed, picture in enumerate(pictures, 1):
                    container.add(picture)
                    told.add(picture.name, picture.image)
                    if kind in FOLDERS:
                        manifest.add(Member(picture.name, len(picture.body), picture.image.sha256)._asdict())
                    tell(packed)
            with create(texts / README) as card:
                card.write(readme(dataset, told, slugs, kind, options))
            with create(texts / CROISSANT) as description:
                hashes = {name: member_of(name, texts / name).sha256 for name in told.metadata_names.values()}
                description.write(croissant(dataset, told, kind, hashes))
            for name in container.pictures_done():
                manifest.add(member_of(name, files / name)._asdict())
            for name in (*told.names, CROISSANT, README):
                container.add_text(name, texts / name)
                manifest.add(member_of(name, texts / name)._asdict())
        container.add_text(MANIFEST, texts / MANIFEST)


def _head(kind: ExportFormat, dataset: Dataset, options: ExportOptions, count: int) -> dict[str, Any]:
    return {
        "job": dataset.job,
        "version": dataset.version,
        "format": kind,
        "options": options.to_json(),
        "pictures": count,
        "made_by": f"PixCrawler {__version__}",
    }


def disk_needed(kind: ExportFormat, picture_bytes: int, pictures: int, options: ExportOptions) -> int:
    """The bytes that `build` takes in its folder at most, of pictures that have so many bytes in storage."""
    times = (REWRITTEN_TIMES if options.rewrites else 1) if kind in WITH_PICTURES else 0
    return times * picture_bytes + TEXT_BYTES * pictures + LEAST_BYTES
