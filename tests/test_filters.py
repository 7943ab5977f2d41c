"""What may be asked of pictures, how it reaches a source, and what a picture of a size fits."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixcrawler.base_spiders import each
from pixcrawler.errors import UsageError
from pixcrawler.filters import GIVEN, SIZES, WORDS, misfit, parameters, parse_filters, refusal, span
from pixcrawler.rights import Policy
from pixcrawler.sources import catalogue

MAPPINGS = {
    "size": each("size", "small", "large"),
    "colour": {"red": {"f": "colour:red"}},
    "type": {"photo": {"f": "type:photo"}},
    "safe": {"off": {"safe": "0"}, "moderate": {"safe": "1"}, "strict": {"safe": "2"}},
    "locale": {"*": {"hl": "{language}", "gl": "{country}"}},
    "date": {"week": {"age": "7d"}, "*": {"from": "{since:%Y}", "to": "{until}"}},
}

values = {name.value: st.sampled_from(words) for name, words in WORDS.items()} | {
    "locale": st.sampled_from(["de", "de-AT", "en-US"]),
    "date": st.sampled_from(["day", "week", "2019", "2019..2021", "..2020", "2020-02-29.."]).filter(
        lambda v: v != "2019"
    ),
}
wanted = st.fixed_dictionaries({}, optional=values)


@given(wanted)
def test_nothing_that_is_wanted_is_dropped_in_silence(given_: dict[str, str]) -> None:
    """Each filter is in the query, or judged by the picture, or refused."""
    assert parse_filters(given_) == given_
    for name, value in given_.items():
        alone = {name: value}
        asked = parameters(MAPPINGS, alone) != parameters(MAPPINGS, {})
        is_default = name == "safe" and value == "moderate"
        judged = any(misfit(MAPPINGS, alone, *size) for size in ((10, 10), (5000, 100), (100, 5000), (4000, 4000)))
        assert asked + judged + (refusal("s", MAPPINGS, alone) is not None) + is_default == 1


@given(wanted)
def test_sources_that_serve_filters_put_them_into_their_query(given_: dict[str, str]) -> None:
    """Whatever a source declares can be asked of it: every template is one."""
    for source in catalogue().values():
        if refusal(source.name, source.filters, given_) is None:
            assert all(isinstance(text, str) for text in parameters(source.filters, given_).values())


@pytest.mark.parametrize("source", catalogue().values(), ids=lambda source: source.name)
def test_sources_use_the_vocabulary(source: Any) -> None:
    """A misspelt value would never be asked for."""
    policies = set(Policy) - {Policy.ANY}
    for name, mapped in source.filters.items():
        for value in set(mapped) - {"*"}:
            assert value in policies if name == "licence" else parse_filters({name: value})
    assert set(source.filters) <= {*GIVEN, "licence"}
    assert "moderate" in source.filters.get("safe", {"moderate": {}})


def test_safe_search_is_on_unless_told_otherwise() -> None:
    assert parameters(MAPPINGS, {}) == {"safe": "1"}
    assert parameters(MAPPINGS, {"safe": "off"}) == {"safe": "0"}


def test_several_words_share_a_parameter() -> None:
    assert parameters(MAPPINGS, {"colour": "red", "type": "photo"})["f"] == "colour:red,type:photo"
    assert parameters(MAPPINGS, {"colour": "red", "type": "photo"}, "+")["f"] == "colour:red+type:photo"


def test_a_locale_is_a_language_and_maybe_a_country() -> None:
    assert parameters(MAPPINGS, {"locale": "de-AT"}) == {"safe": "1", "hl": "de", "gl": "AT"}
    assert parameters(MAPPINGS, {"locale": "fr"}) == {"safe": "1", "hl": "fr", "gl": "FR"}


def test_a_date_is_a_word_or_a_span() -> None:
    assert parameters(MAPPINGS, {"date": "week"})["age"] == "7d"
    asked = parameters(MAPPINGS, {"date": "2019-05-06..2020"})
    assert (asked["from"], asked["to"]) == ("2019", "2020-12-31")
    today = datetime.now(UTC).date()
    assert span("week")[0] in (today - timedelta(7), today - timedelta(6))
    assert span("..2020-01-02") == (date.min, date(2020, 1, 2))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("size", "gigantic"),
            ("size", ""),
            ("colour", "RED"),
            ("safe", "on"),
            ("locale", "deutsch"),
            ("locale", "DE"),
        ),
        *(("date", "2019"), ("date", ".."), ("date", "2020..2019"), ("date", "2020-13-01.."), ("date", "yesterday")),
        *(("licence", "commercial"), ("flavour", "sweet"), ("size", 3), ("date", "٢٠١٩..")),
    ],
)
def test_what_is_no_filter_is_refused_in_a_line(name: str, value: Any) -> None:
    with pytest.raises(UsageError) as refused:
        parse_filters({name: value})
    assert str(refused.value).isprintable()


sides = st.integers(1, 20_000)


@given(sides, sides)
def test_every_picture_has_one_aspect_and_a_size(width: int, height: int) -> None:
    fits = {
        name: [v for v in WORDS[name] if misfit({}, {name: v}, width, height) is None] for name in ("size", "aspect")
    }  # type: ignore[index]
    assert len(fits["aspect"]) == 1
    assert fits["size"] in (["small"], ["medium"], ["large"], ["large", "huge"])


def test_the_sizes_meet() -> None:
    assert SIZES["small"][1] == SIZES["medium"][0]
    assert SIZES["medium"][1] == SIZES["large"][0]


def test_a_source_that_was_asked_is_believed() -> None:
    assert misfit(MAPPINGS, {"size": "large"}, 10, 10) is None
    assert misfit(MAPPINGS, {"size": "huge"}, 10, 10) == "size=huge"
