"""What a dataset file is built from: the job as it ended, and its pictures in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from pixcrawler.errors import ExportFailed
from pixcrawler.jobs import Funnel
from pixcrawler.rights import licence_of


@dataclass(frozen=True, slots=True)
class DatasetImage:
    """One kept picture. What its source did not say is an empty text."""

    position: int  # from 1, grows
    keyword: str
    sha256: str  # 64 hex digits of the bytes as served
    extension: str  # without the dot
    format: str  # "jpeg", "png", "webp" or "gif"
    storage_key: str
    width: int  # pixels
    height: int
    source: str
    page_url: str
    title: str
    creator: str
    creator_url: str
    license: str
    license_url: str
    license_id: str  # ours, of `rights.Licence`; empty: unknown
    attribution: str
    original_url: str
    group: str = ""  # near-duplicates have the same; by default its SHA-256
    original_sha256: str = ""  # of a picture that was rewritten: of the bytes as served

    def __post_init__(self) -> None:
        if not self.group:
            object.__setattr__(self, "group", self.sha256)

    @classmethod
    def from_row(cls, row: Mapping[str, Any], group: str = "") -> Self:
        """From a row of `public.images`, and the group of what resembles it.

        Raises `ExportFailed` naming the file and what its row lacks.
        """
        facts: Mapping[str, Any] = row["metadata"] or {}
        try:
            return cls(
                position=int(facts["position"]),
                keyword=facts["keyword"],
                sha256=facts["sha256"],
                extension=row["filename"].rpartition(".")[2],
                format=_required(row, "format"),
                storage_key=facts["storage_key"],
                width=_required(row, "width"),
                height=_required(row, "height"),
                source=facts["source"],
                original_url=row["original_url"],
                license_id=_license_id(facts),
                group=group,
                **{name: facts.get(name) or "" for name in WHAT_SOURCES_SAY},
            )
        except KeyError as error:
            raise ExportFailed(f"{row['filename']}: its row lacks {error.args[0]}") from None


WHAT_SOURCES_SAY = ("page_url", "title", "creator", "creator_url", "license", "license_url", "attribution")


def _license_id(facts: Mapping[str, Any]) -> str:
    if "license_id" in facts:
        return facts["license_id"] or ""
    # Pictures kept by earlier versions have none.
    licence = licence_of(facts.get("license"), facts.get("license_url"), facts["source"])
    return licence.id if licence else ""


def _required(row: Mapping[str, Any], column: str) -> Any:
    if row[column] is None:
        raise KeyError(column)
    return row[column]


@dataclass(frozen=True, slots=True)
class RunLine:
    """What one run did: a line of the card."""

    source: str
    keywords: tuple[str, ...]
    kept: int
    found: int
    reasons: Mapping[str, int]  # reason → number, as in the funnel


@dataclass(frozen=True, slots=True)
class Dataset:
    """A job as it ended."""

    job: int
    name: str
    version: int  # counts the datasets of the job
    keywords: tuple[str, ...]
    sources: tuple[str, ...]
    asked: int
    kept: int  # pictures in the dataset
    outcome: str  # one sentence
    funnel: Funnel
    runs: tuple[RunLine, ...]
    collected: tuple[datetime, datetime] | None  # from the first run's beginning to the last one's end, UTC
