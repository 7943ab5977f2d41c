"""What a job is asked for, checked in one place: for the command line, the API and the dispatcher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any
from uuid import uuid4

from pixcrawler import duplicates
from pixcrawler.config import Config
from pixcrawler.errors import UsageError
from pixcrawler.export_options import ExportOptions
from pixcrawler.filters import parse_filters
from pixcrawler.jobs import ExportFormat, parse_formats, parse_keywords, parse_max_images
from pixcrawler.quality import DEFAULT, parse_preset
from pixcrawler.rights import Policy, parse_policy
from pixcrawler.terms import Catalogue, choose

NAME_LENGTH = 100  # of crawl_jobs.name
LIST_SOURCE = "urls"


@dataclass(frozen=True, slots=True)
class Order:
    """A job to be created. Its options are those that were given; the claim adds what is usual then."""

    name: str
    keywords: list[str]
    max_images: int
    options: dict[str, Any]


def parse_order(
    catalogue: Catalogue, config: Config, *, keywords: object, max_images: object, name: str | None, **options: Any
) -> Order:
    """The job as given. Raises `UsageError` for what the dispatcher would refuse, saying the same."""
    words = parse_keywords(keywords)
    wanted = parse_max_images(max_images)
    given = {option: value for option, value in options.items() if value not in (None, [], {})}
    if "list" in given:
        given.setdefault("sources", [LIST_SOURCE])
    checked = parse_options(catalogue, config, given)
    return Order(_title(name, words), words, wanted, {option: checked.get(option, given[option]) for option in given})


def parse_options(catalogue: Catalogue, config: Config, given: Mapping[str, Any]) -> dict[str, Any]:
    """All options of a job that are known, checked, with what is usual for those not given. Raises `UsageError`."""
    filters = parse_filters(given.get("filters") or {})
    return {
        "sources": choose(
            catalogue,
            given.get("sources") or (),
            defaults=config.default_sources,
            accepted=config.accept_terms,
            filters=filters,
            with_list=bool(given.get("list")),
        ),
        "quality": parse_preset(str(given.get("quality") or DEFAULT)),
        "rights": parse_policy(given.get("rights", Policy.ANY)),
        "filters": filters,
        "formats": parse_formats(given.get("formats") or [ExportFormat.ZIP]),
        "export": ExportOptions.parse(given.get("export") or {}).to_json(),
        **duplicates.parse_options(given),
    }


def list_key(folder: str, name: str) -> str:
    """A new place for the list in a file of this name, with the suffixes that tell what it is.

    The same list gets another one each time, for retention takes old ones away.
    """
    plain = name.lower().removesuffix(".gz")
    return f"{folder}/{uuid4().hex}{PurePath(plain).suffix}{name.lower().removeprefix(plain)}"


def _title(name: str | None, keywords: Sequence[str]) -> str:
    if name is None:
        return ", ".join(keywords)[:NAME_LENGTH]
    if not name.strip() or len(name) > NAME_LENGTH or not name.isprintable():
        raise UsageError(f"name: expected 1 to {NAME_LENGTH} printable characters")
    return name.strip()
