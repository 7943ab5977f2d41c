"""What a source asks of those who use it: a key, consent to its terms, how it is to be credited. Pure, no I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pixcrawler.errors import UsageError
from pixcrawler.filters import Mappings, refusal


class Robots(StrEnum):
    """By what a source's own pages are asked for. The hosts of pictures are always asked for their robots.txt."""

    TERMS = "terms"  # a documented API: its terms rule
    OBEYED = "obeyed"  # web pages: robots.txt is asked first
    FORBIDDEN = "forbidden"  # robots.txt forbids the pages: only with the operator's consent


@dataclass(frozen=True, slots=True)
class Key:
    """A secret a source wants with every request to it. It is added where the request leaves, and nowhere kept."""

    variable: str  # of the environment
    header: str = ""  # that carries it, or
    parameter: str = ""  # of the query
    prefix: str = ""  # before it, in a header


@dataclass(frozen=True, slots=True)
class Terms:
    """What a source's terms say."""

    url: str  # where they are
    datasets: str  # about building datasets, in one line
    attribution: str  # the duty towards authors and the source, in one line
    robots: Robots = Robots.TERMS
    consent: str = ""  # why nobody may be made to use it unawares; empty: everybody may


@dataclass(frozen=True, slots=True)
class Source:
    """What is known of a source without asking it."""

    name: str
    terms: Terms
    key: Key | None
    cap: int | None  # pictures one keyword brings at most; None: no limit is known
    needs_list: bool  # it is told where to look, not what for
    at_once: int | None  # runs; None: as many as there are
    fields: tuple[str, ...]  # facts of a picture it fills in
    filters: Mappings  # that it can ask for

    def refusal(self, accepted: Collection[str], *, has_key: bool) -> str | None:
        """Why it must not or cannot be asked; `accepted` are the sources whose terms the operator accepts."""
        if self.terms.consent and self.name not in accepted:
            return f"{self.name}: {self.terms.consent}; PIXCRAWLER_ACCEPT_TERMS={self.name} says that you may"
        if self.key and not has_key:
            return f"{self.name} needs a key: set {self.key.variable}"
        return None


Catalogue = Mapping[str, Source]  # by name


def choose(
    catalogue: Catalogue,
    named: Sequence[Any],
    *,
    defaults: Sequence[str],
    accepted: Collection[str],
    filters: Mapping[str, str],
    with_list: bool,
) -> list[str]:
    """The sources of a job: those it names, or the defaults that can serve its filters. Whether keys are there, only
    the crawl process knows.

    Raises `UsageError` for a job that cannot be served.
    """
    names = list(dict.fromkeys(named or defaults))
    _check_names(catalogue, names)
    refusals = {name: why for name in names if (why := _refusal(catalogue[name], accepted, filters, with_list))}
    if refusals and (named or len(refusals) == len(names)):
        raise UsageError("; ".join(refusals.values()))
    return [name for name in names if name not in refusals]


def _check_names(catalogue: Catalogue, names: Sequence[Any]) -> None:
    unknown = [name for name in names if name not in catalogue]
    if unknown:
        raise UsageError(f"sources: unknown {', '.join(map(repr, unknown))}; there are {', '.join(catalogue)}")


def _refusal(source: Source, accepted: Collection[str], filters: Mapping[str, str], with_list: bool) -> str | None:
    if source.needs_list and not with_list:
        return f"sources: {source.name} needs a list of URLs, and the job has none"
    return source.refusal(accepted, has_key=True) or refusal(source.name, source.filters, filters)
