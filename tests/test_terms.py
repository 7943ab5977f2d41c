"""Which sources a job gets, and who is refused."""

from __future__ import annotations

from typing import Any

import pytest

from pixcrawler.config import Config
from pixcrawler.errors import UsageError
from pixcrawler.sources import catalogue
from pixcrawler.terms import Key, Robots, Source, Terms, choose

OPEN = Terms("https://a.example", datasets="allowed", attribution="name the author")
CLOSED = Terms("https://b.example", datasets="forbidden", attribution="link", consent="its terms forbid datasets")
RED = {"colour": {"red": {"c": "red"}}}


def source(name: str, terms: Terms = OPEN, **more: Any) -> Source:
    about: dict[str, Any] = {"key": None, "cap": None, "needs_list": False, "at_once": 1, "fields": (), "filters": {}}
    return Source(name, terms, **about | more)


KNOWN = {
    "museum": source("museum"),
    "archive": source("archive", filters=RED),
    "stock": source("stock", CLOSED),
    "album": source("album", key=Key("ALBUM_KEY", parameter="key")),
    "list": source("list", needs_list=True),
}


def chosen(*named: str, **more: Any) -> list[str]:
    about: dict[str, Any] = {"defaults": ("museum", "archive"), "accepted": (), "filters": {}, "with_list": False}
    return choose(KNOWN, named, **about | more)


def test_a_job_that_names_none_gets_the_defaults() -> None:
    assert chosen() == ["museum", "archive"]
    assert chosen(defaults=("album", "stock"), accepted={"stock"}) == ["album", "stock"]


def test_of_the_defaults_those_that_can_serve_are_taken() -> None:
    assert chosen(filters={"colour": "red"}) == ["archive"]
    assert chosen(filters={"size": "large"}) == ["museum", "archive"], "a picture tells its size by itself"
    with pytest.raises(UsageError, match=r"museum cannot be asked for any colour.*archive cannot be asked for that"):
        chosen(filters={"colour": "blue"})


@pytest.mark.parametrize(
    ("named", "more", "why"),
    [
        (("stock",), {}, "its terms forbid datasets; PIXCRAWLER_ACCEPT_TERMS=stock"),
        (("museum", "stock"), {}, "PIXCRAWLER_ACCEPT_TERMS=stock"),
        (("list",), {}, "list needs a list"),
        (("museum",), {"filters": {"colour": "red"}}, "cannot be asked for any colour"),
        (("archive",), {"filters": {"colour": "blue"}}, "archive cannot be asked for that, only for red"),
        (("musuem",), {}, "unknown 'musuem'; there are museum, archive"),
        (("",), {}, "unknown ''"),
    ],
)
def test_what_is_named_and_cannot_serve_is_refused(named: tuple[str, ...], more: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        chosen(*named, **more)


def test_what_is_named_is_taken_in_its_order_and_once() -> None:
    assert chosen("archive", "list", "archive", "stock", accepted={"stock"}, with_list=True) == [
        "archive",
        "list",
        "stock",
    ]


def test_a_key_is_asked_for_by_its_name() -> None:
    assert KNOWN["album"].refusal((), has_key=False) == "album needs a key: set ALBUM_KEY"
    assert KNOWN["album"].refusal((), has_key=True) is None


@pytest.mark.parametrize("known", catalogue().values(), ids=lambda known: known.name)
def test_every_source_declares_its_terms(known: Source) -> None:
    assert known.terms.datasets
    assert known.terms.attribution
    assert known.needs_list or known.terms.url.startswith("https://")
    assert (known.terms.robots is not Robots.FORBIDDEN) or known.terms.consent
    assert known.key is None or bool(known.key.header) != bool(known.key.parameter)


def test_whom_nobody_may_use_unawares() -> None:
    """Terms that forbid datasets, and robots.txt that forbids the pages."""
    need = {name for name, known in catalogue().items() if known.terms.consent}
    assert need == {"unsplash", "pexels", "pixabay", "google", "bing", "duckduckgo", "baidu"}
    free = {name for name, known in catalogue().items() if not (known.key or known.terms.consent or known.needs_list)}
    assert free == {*Config().default_sources}
