"""What a source asks of those who use it: a key, consent to its terms, how it is to be credited. Pure, no I/O."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum


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
    fields: tuple[str, ...]  # facts of a picture it fills in
    filters: dict[str, tuple[str, ...]]  # values by filter that it can ask for; ("*",): any

    @property
    def is_open(self) -> bool:
        """Whether it takes keywords from anybody: neither key nor consent nor a list."""
        return self.key is None and not self.terms.consent and not self.needs_list

    def refusal(self, accepted: Collection[str], *, has_key: bool) -> str | None:
        """Why it must not or cannot be asked; `accepted` are the sources whose terms the operator accepts."""
        if self.terms.consent and self.name not in accepted:
            return f"{self.name}: {self.terms.consent}; PIXCRAWLER_ACCEPT_TERMS={self.name} says that you may"
        if self.key and not has_key:
            return f"{self.name} needs a key: set {self.key.variable}"
        return None
