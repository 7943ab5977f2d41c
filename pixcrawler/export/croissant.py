"""croissant.json of a dataset: MLCommons' description of its files and records, for tools that search and load.

Croissant 1.1 with the vocabulary for responsible AI, as far as its facts are known here. Who publishes the dataset adds
`url`, `creator` and `datePublished`.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from pixcrawler.export.attribution import conditions
from pixcrawler.export.dataset import Dataset
from pixcrawler.export.markdown import one_line
from pixcrawler.export.texts import METADATA, Texts
from pixcrawler.rights import normalise

CROISSANT = "croissant.json"

PICTURES = "pictures"  # the set of files
RECORDS = "records"

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
    **dict.fromkeys(("format", "sha256", "source"), "sc:Text"),
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


def croissant(dataset: Dataset, texts: Texts, metadata_sha256: str) -> str:
    """The whole file, JSON. `texts` has counted the pictures; the digest is that of metadata.jsonl."""
    described = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": one_line(dataset.name) or f"Dataset of job {dataset.job}",
        "description": f"{dataset.kept} pictures of {_counted(texts.keywords)}. {one_line(dataset.outcome)}",
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        "version": f"{dataset.version}.0.0",
        "keywords": [one_line(keyword) for keyword in dataset.keywords],
        "license": [_license(id_, pictures) for id_, pictures in _most(texts.licenses)],
        **_dates(dataset),
        **_responsible(dataset, texts),
        "distribution": _files(metadata_sha256),
        "recordSet": [_records()],
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


def _files(metadata_sha256: str) -> list[dict[str, Any]]:
    return [
        {
            "@type": "cr:FileObject",
            "@id": METADATA,
            "name": METADATA,
            "description": "What is known of each picture, one per line.",
            "contentUrl": METADATA,
            "encodingFormat": "application/jsonlines",
            "sha256": metadata_sha256,
        },
        {
            "@type": "cr:FileSet",
            "@id": PICTURES,
            "name": PICTURES,
            "description": "The pictures, in folders.",
            # JPEG first: `mlcroissant` opens all with Pillow if it knows the first, and it knows neither WebP nor GIF.
            "encodingFormat": [f"image/{kind}" for kind in ("jpeg", "png", "webp", "gif")],
            "includes": [f"**/*.{extension}" for extension in ("jpg", "png", "webp", "gif")],
        },
    ]


def _records() -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": RECORDS,
        "name": RECORDS,
        "description": "The pictures with what is known of them.",
        "key": {"@id": f"{RECORDS}/file_name"},
        "field": [
            {
                **_field("file_name", "sc:Text", _from_picture("fullpath") | {"transform": {"regex": "^(.+)$"}}),
                "references": _from_line("file_name"),
            },
            _field("image", "sc:ImageObject", _from_picture("content")),
            *(_field(column, kind, _from_line(column)) for column, kind in COLUMNS.items()),
        ],
    }


def _field(name: str, kind: str | list[str], source: dict[str, Any]) -> dict[str, Any]:
    return {"@type": "cr:Field", "@id": f"{RECORDS}/{name}", "name": name, "dataType": kind, "source": source}


def _from_line(column: str) -> dict[str, Any]:
    return {"fileObject": {"@id": METADATA}, "extract": {"column": column}}


def _from_picture(part: str) -> dict[str, Any]:
    return {"fileSet": {"@id": PICTURES}, "extract": {"fileProperty": part}}


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{one_line(word)} ({n})" for word, n in _most(counts))


def _most(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
