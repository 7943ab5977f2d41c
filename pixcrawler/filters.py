"""Filters: one vocabulary of what pictures are wanted, for all sources. Pure, no I/O.

A source asks for what it can, see `ImageSpider.filters`. What it cannot ask for is judged by the picture (size and
aspect) or refused before the first request. The licence is the job's rights policy, see `rights`: sources that can
ask for it do so, and every picture is judged by it all the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any

from pixcrawler.errors import UsageError


class Filter(StrEnum):
    """What may be asked of pictures. `LICENCE` comes from the rights policy, all others are given by this name."""

    SIZE = "size"
    ASPECT = "aspect"
    COLOUR = "colour"
    TYPE = "type"
    LICENCE = "licence"
    SAFE = "safe"
    LOCALE = "locale"
    DATE = "date"


ANY = "*"  # in a source's filters: whatever the value, such as every locale
SAFE_DEFAULT = "moderate"
DAYS = {"day": 1, "week": 7, "month": 30, "year": 365}  # how old at most
WORDS: Mapping[Filter, tuple[str, ...]] = {
    Filter.SIZE: ("small", "medium", "large", "huge"),
    Filter.ASPECT: ("square", "wide", "tall"),
    Filter.COLOUR: (
        *("colour", "grey", "transparent", "red", "orange", "yellow", "green", "teal", "blue", "purple", "pink"),
        *("brown", "black", "white"),
    ),
    Filter.TYPE: ("photo", "illustration", "clipart", "line", "animated"),
    Filter.SAFE: ("off", "moderate", "strict"),
}
GIVEN = tuple(name for name in Filter if name is not Filter.LICENCE)
LOCALE = re.compile(r"[a-z]{2}(-[A-Z]{2})?")
SPAN = re.compile(r"(\d{4}(?:-\d\d-\d\d)?)?\.\.(\d{4}(?:-\d\d-\d\d)?)?")
BY_PICTURE = frozenset({Filter.SIZE, Filter.ASPECT})  # what the picture itself tells

# Pixels, from and below: what Openverse calls small, medium and large; huge fills an A4 page in print.
SIZES = {
    "small": (0, 640 * 480),
    "medium": (640 * 480, 1600 * 1200),
    "large": (1600 * 1200, None),
    "huge": (8_000_000, None),
}
SQUARE = 1.1  # long side : short side, at most

Parameters = Mapping[str, str]
Mappings = Mapping[str, Mapping[str, Parameters]]  # filter → value, or `ANY` → parameters of the source's query


def parse_filters(given: Mapping[str, Any]) -> dict[str, str]:
    """The filters as given, checked. Raises `UsageError` naming the one that is wrong."""
    for name, value in given.items():
        if name not in GIVEN:
            raise UsageError(f"unknown filter {name!r}; known are {', '.join(GIVEN)}")
        if not isinstance(value, str) or not _is_valid(Filter(name), value):
            raise UsageError(f"{name}: expected {_expected(Filter(name))}, got {str(value)[:40]!r}")
    return dict(given)


def _is_valid(name: Filter, value: str) -> bool:
    match name:
        case Filter.LOCALE:
            return LOCALE.fullmatch(value) is not None
        case Filter.DATE:
            return value in DAYS or _span(value) is not None
        case _:
            return value in WORDS[name]


def _expected(name: Filter) -> str:
    match name:
        case Filter.LOCALE:
            return "a language such as de or de-AT"
        case Filter.DATE:
            return f"{', '.join(DAYS)} or a span such as 2019..2021-06-30"
        case _:
            return ", ".join(WORDS[name])


def _span(value: str) -> tuple[date, date] | None:
    match = SPAN.fullmatch(value)
    if match is None or not any(match.groups()):
        return None
    since, until = match.groups()
    try:
        first = date.fromisoformat(_day(since, "01-01")) if since else date.min
        last = date.fromisoformat(_day(until, "12-31")) if until else _today()
    except ValueError:
        return None
    return (first, last) if first <= last else None


def _day(text: str, missing: str) -> str:
    return text if len(text) > len("2000") else f"{text}-{missing}"


def _today() -> date:
    return datetime.now(UTC).date()


def span(value: str) -> tuple[date, date]:
    """First and last day of a date filter."""
    return _span(value) or (_today() - timedelta(days=DAYS[value]), _today())


def can_ask(mappings: Mappings, name: str, value: str) -> bool:
    """Whether a source can put a filter into its query."""
    values = mappings.get(name, {})
    return value in values or ANY in values


def refusal(source: str, mappings: Mappings, wanted: Mapping[str, str]) -> str | None:
    """Why a source cannot serve these filters; None: it can, or the pictures themselves will tell."""
    for name, value in wanted.items():
        if name not in BY_PICTURE and not can_ask(mappings, name, value):
            able = ", ".join(mappings.get(name, {}))
            return f"{name}={value}: {source} cannot be asked for {'that, only for ' + able if able else 'any ' + name}"
    return None


def parameters(mappings: Mappings, wanted: Mapping[str, str], joined_by: str = ",") -> dict[str, str]:
    """What a source's query says to be served what is wanted; several words for one parameter are joined."""
    result: dict[str, str] = {}
    for name, value in ({Filter.SAFE: SAFE_DEFAULT} | dict(wanted)).items():
        values = mappings.get(name, {})
        for parameter, template in values.get(value, values.get(ANY, {})).items():
            text = _filled(template, name, value)
            result[parameter] = f"{result[parameter]}{joined_by}{text}" if parameter in result else text
    return result


def _filled(template: str, name: str, value: str) -> str:
    """The template with {value}; of a locale {language} and {country}; of a date {since} and {until}, as days."""
    if name == Filter.LOCALE:
        language, _, country = value.partition("-")
        return template.format(value=value, language=language, country=country or language.upper())
    if name == Filter.DATE and "{" in template:
        since, until = span(value)
        return template.format(value=value, since=since, until=until)
    return template.format(value=value)


def misfit(mappings: Mappings, wanted: Mapping[str, str], width: int, height: int) -> str | None:
    """The filter a picture of this size in pixels does not fit; None: it fits, or its source was asked for that."""
    for name in BY_PICTURE & wanted.keys():
        value = wanted[name]
        if not can_ask(mappings, name, value) and not _fits(name, value, width, height):
            return f"{name}={value}"
    return None


def _fits(name: str, value: str, width: int, height: int) -> bool:
    if name == Filter.SIZE:
        least, below = SIZES[value]
        return least <= width * height and (below is None or width * height < below)
    if max(width, height) <= SQUARE * min(width, height):
        return value == "square"
    return value == ("wide" if width > height else "tall")
