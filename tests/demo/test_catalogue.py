"""The offer of the demo: enough of everything, mixed, and always the same."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from uuid import UUID

import pytest

from pixcrawler.demo import catalogue
from pixcrawler.demo.catalogue import KEYWORDS, Entry, Kind

ENTRIES = catalogue.build()


def of(keyword: str) -> list[Entry]:
    return [entry for entry in ENTRIES if entry.keyword == keyword]


def test_offers_at_least_240_pictures_over_two_keywords() -> None:
    assert KEYWORDS == ("mountain lake", "city night")
    assert len(ENTRIES) >= 240


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_has_every_kind_of_entry(keyword: str) -> None:
    kinds = Counter(entry.kind for entry in of(keyword))
    assert set(kinds) == set(Kind)
    assert kinds[Kind.GOOD] == 100
    assert kinds[Kind.NEAR_DUPLICATE] == 8


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_half_is_only_in_the_api_and_a_part_only_in_the_list(keyword: str) -> None:
    reaches = Counter(entry.reach for entry in of(keyword))
    assert reaches["api"] == len(of(keyword)) // 2
    assert reaches["list"] > 20
    assert reaches["both"] > 20


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_bad_entries_are_spread_over_the_good_ones(keyword: str) -> None:
    entries = of(keyword)
    for start in range(0, len(entries) - 40, 20):
        assert any(entry.kind is not Kind.GOOD for entry in entries[start : start + 40])
        assert sum(entry.kind is Kind.GOOD for entry in entries[start : start + 40]) > 20


def test_every_copy_is_of_a_good_picture() -> None:
    good = {(entry.keyword, entry.content.seed) for entry in ENTRIES if entry.kind is Kind.GOOD}
    copies = [entry for entry in ENTRIES if entry.kind in (Kind.NEAR_DUPLICATE, Kind.BYTE_DUPLICATE)]
    assert {(entry.keyword, entry.content.seed) for entry in copies} <= good


def test_ids_are_uuids_and_no_two_alike() -> None:
    assert len({UUID(entry.id) for entry in ENTRIES}) == len(ENTRIES)
    assert {UUID(entry.id).version for entry in ENTRIES} == {5}


@pytest.mark.parametrize("field", ["creator", "width", "height", "filesize", "filetype"])
def test_some_facts_are_unknown(field: str) -> None:
    unknown = sum(getattr(entry, field) is None for entry in ENTRIES)
    assert 0 < unknown < len(ENTRIES) / 2


def test_what_must_be_fetched_to_be_judged_claims_no_size() -> None:
    assert all(entry.width is None for entry in ENTRIES if entry.kind in (Kind.TINY, Kind.BOMB))


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_one_title_is_html_and_the_api_shows_it(keyword: str) -> None:
    (odd,) = [entry for entry in of(keyword) if "<" in entry.title]
    assert odd.in_api


def test_licences_are_openverse_slugs_with_their_deeds() -> None:
    licences = {entry.license for entry in ENTRIES}
    assert {"by", "by-sa", "cc0", "pdm", "by-nc"} <= {each.slug for each in licences}
    assert all(each.url.startswith("https://creativecommons.org/") for each in licences)


def test_is_the_same_in_every_process() -> None:
    code = "from pixcrawler.demo import catalogue; print([entry.id for entry in catalogue.build()])"
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert there.strip() == str([entry.id for entry in ENTRIES])
