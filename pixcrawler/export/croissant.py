"""croissant.json of a dataset: MLCommons' description of its files and records, for tools that search and load.

Croissant 1.1 with the vocabulary for responsible AI, as far as its facts are known here. Who publishes the dataset adds
`url`, `creator` and `datePublished`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from pixcrawler.export.attribution import conditions
from pixcrawler.export.dataset import Dataset
from pixcrawler.export.layouts import FOLDERS
from pixcrawler.export.markdown import one_line
from pixcrawler.export.texts import Texts
from pixcrawler.jobs import ExportFormat
from pixcrawler.rights import normalise

CROISSANT = "croissant.json"

PICTURES = "pictures"  # the set of files; with splits "pictures/train", …
RECORDS = "records"
SHARDS = {
    ExportFormat.WEBDATASET: ("*-*.tar", "application/x-tar"),
    ExportFormat.PARQUET: ("*-*.parquet", "application/vnd.apache.parquet"),
}

# How the format's own words are to be read: the context that its specification prescribes.
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{
        word: f"cr:{word}"
        for word in (
            *("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field"),
            *("fileObject", "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath"),
            *("key", "md5", "parentField", "path", "recordSet", "references", "regex", "repeated", "replace"),
            *("samplingRate", "separator", "source", "subField", "transform"),
        )
    },
}

# The columns of metadata.jsonl besides the file's name, with their types.
COLUMNS: dict[str, str | list[str]] = {
    "label": ["sc:Text", "cr:Label"],
    **dict.fromkeys(("position", "width", "height"), "sc:Integer"),
    **dict.fromkeys(("format", "sha256", "original_sha256", "source"), "sc:Text"),
    **dict.fromkeys(("original_url", "page_url"), "sc:URL"),
    **dict.fromkeys(("title", "creator"), "sc:Text"),
    "creator_url": "sc:URL",
    **dict.fromkeys(("license_id", "license"), "sc:Text"),
    "license_url": "sc:URL",
    "attribution": "sc:Text",
}

PREPROCESSING = (
    "Each picture was decoded once: it is whole, of the format its name says, and not smaller than the job allowed.",
    "Of pictures that are the same, by their bytes or by their look, one was kept.",
    "Pictures that their owners reserved (robots.txt, ai.txt, TDM reservation, the file's metadata) were left out.",
)
LIMITATIONS = (
    "Labels are the words a picture was found with; nobody has checked that it shows them.",
    "Licences are as the sources state them; nobody has checked them.",
)
BIASES = "What the sources hold, and what they rank first for a keyword, decides which pictures are in the dataset."
PERSONAL = (
    "Pictures may show people, and places or texts that tell who they are: nobody has looked for that.",
    "Names of makers are in metadata.jsonl and ATTRIBUTION.md, and may be in the pictures' own metadata.",
)


def croissant(dataset: Dataset, texts: Texts, kind: ExportFormat, hashes: Mapping[str, str]) -> str:
    """The whole file, JSON. `texts` has counted the pictures; `hashes` are the SHA-256 of its files of metadata."""
    parts = texts.metadata_names.items()
    described = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": one_line(dataset.name) or f"Dataset of job {dataset.job}",
        "description": f"{texts.splits.total()} pictures of {_counted(texts.keywords)}. {one_line(dataset.outcome)}",
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        "version": f"{dataset.version}.0.0",
        "keywords": [one_line(keyword) for keyword in dataset.keywords],
        "license": [_license(id_, pictures) for id_, pictures in _most(texts.licenses)],
        **_dates(dataset),
        **_responsible(dataset, texts),
        "distribution": [file for split, name in parts for file in _files(kind, split, name, hashes[name])],
        "recordSet": [_records(kind, split, name) for split, name in parts],
    }
    return json.dumps(described, ensure_ascii=False, indent=2) + "\n"


def _dates(dataset: Dataset) -> dict[str, Any]:
    if dataset.collected is None:
        return {}
    begun, ended = (moment.isoformat(timespec="seconds") for moment in dataset.collected)
    return {"dateCreated": ended, "rai:dataCollectionTimeframe": [begun, ended]}


def _responsible(dataset: Dataset, texts: Texts) -> dict[str, Any]:
    left_out = ", ".join(f"{reason.replace('_', ' ')}: {n}" for reason, n in dataset.funnel.reasons.items())
    return {
        "rai:dataCollection": (
            "Sources were asked for the keywords; what they named was fetched from where its owners serve it. "
            f"{dataset.funnel.found} images were found, {dataset.funnel.kept} kept."
            + (f" Not kept: {left_out}." if left_out else "")
        ),
        "rai:dataCollectionType": "Software Collection",
        "rai:dataCollectionRawData": f"Pictures found with {_counted(texts.sources)}; original_url is where each was.",
        "rai:dataCollectionMissingData": "An empty text in metadata.jsonl means that the source did not say.",
        "rai:dataPreprocessingProtocol": list(PREPROCESSING),
        "rai:dataAnnotationProtocol": "The label of a picture is the keyword that its source was asked for.",
        "rai:annotationsPerItem": "0 by people; 1 keyword",
        "rai:dataLimitations": list(LIMITATIONS),
        "rai:dataBiases": BIASES,
        "rai:personalSensitiveInformation": list(PERSONAL),
    }


def _license(license_id: str, pictures: int) -> dict[str, Any]:
    licence = normalise(license_id)
    return {
        "@type": "sc:CreativeWork",
        "name": licence.name if licence else "unknown",
        "description": f"{conditions(licence)}; pictures: {pictures}",
        **({"url": licence.url} if licence and licence.url else {}),
    }


def _files(kind: ExportFormat, split: str, metadata: str, sha256: str) -> Iterator[dict[str, Any]]:
    yield {
        "@type": "cr:FileObject",
        "@id": metadata,
        "name": metadata,
        "description": "What is known of each picture, one per line.",
        "contentUrl": metadata,
        "encodingFormat": "application/jsonlines",
        "sha256": sha256,
    }
    if kind in FOLDERS:
        # JPEG first: `mlcroissant` opens all with Pillow if it knows the first, and it knows neither WebP nor GIF.
        types = [f"image/{picture}" for picture in ("jpeg", "png", "webp", "gif")]
        folders = f"{split}/*" if split else "**"
        places = [f"{folders}/*.{extension}" for extension in ("jpg", "png", "webp", "gif")]
        yield _file_set(_within(PICTURES, split), "The pictures, in folders.", types, places)
    elif kind in SHARDS:
        place, type_ = SHARDS[kind]
        yield _file_set(PICTURES, "The pictures, in files of many.", [type_], [place])


def _file_set(name: str, description: str, types: list[str], places: list[str]) -> dict[str, Any]:
    said = {"name": name, "description": description, "encodingFormat": types, "includes": places}
    return {"@type": "cr:FileSet", "@id": name, **said}


def _records(kind: ExportFormat, split: str, metadata: str) -> dict[str, Any]:
    name = _within(RECORDS, split)
    lines = [_field(name, column, type_, _from_line(metadata, column)) for column, type_ in COLUMNS.items()]
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": "The pictures with what is known of them.",
        "key": {"@id": f"{name}/file_name"},
        "field": [*(_pictures(name, split, metadata) if kind in FOLDERS else _names(name, metadata)), *lines],
    }


def _pictures(name: str, split: str, metadata: str) -> Iterator[dict[str, Any]]:
    """A picture's own path, as the metadata has it: without the folder of its split."""
    path = {"transform": {"regex": f"^{split}/(.+)$" if split else "^(.+)$"}}
    source = _from_picture(split, "fullpath") | path
    yield _field(name, "file_name", "sc:Text", source) | {"references": _from_line(metadata, "file_name")}
    yield _field(name, "image", "sc:ImageObject", _from_picture(split, "content"))


def _names(name: str, metadata: str) -> Iterator[dict[str, Any]]:
    yield _field(name, "file_name", "sc:Text", _from_line(metadata, "file_name"))


def _field(records: str, name: str, kind: str | list[str], source: dict[str, Any]) -> dict[str, Any]:
    return {"@type": "cr:Field", "@id": f"{records}/{name}", "name": name, "dataType": kind, "source": source}


def _from_line(metadata: str, column: str) -> dict[str, Any]:
    return {"fileObject": {"@id": metadata}, "extract": {"column": column}}


def _from_picture(split: str, part: str) -> dict[str, Any]:
    return {"fileSet": {"@id": _within(PICTURES, split)}, "extract": {"fileProperty": part}}


def _within(name: str, split: str) -> str:
    return f"{name}/{split}" if split else name


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{one_line(word)} ({n})" for word, n in _most(counts))


def _most(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
