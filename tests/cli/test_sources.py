"""`pixcrawler sources`: what is known of them, and whether they can still be read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pixcrawler.demo.replicas import Replica, replica_of
from pixcrawler.demo.replicas.serving import serving

CHECKS = "SELECT name, state, reason FROM crawler.sources ORDER BY name"


@pytest.fixture
def openverse(settings_env: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Iterator[Replica]:
    with serving(replica_of("openverse")) as replica:
        monkeypatch.setenv("PIXCRAWLER_BASE_URL_OPENVERSE", replica.url)
        settings_env(PIXCRAWLER_ALLOW_HOSTS="127.0.0.1")
        yield replica


@pytest.fixture
def checking(openverse: Replica, cli: Any, database_url: str, data_dir: Any, settings_env: Any) -> Any:
    settings_env(DATABASE_URL=database_url, PIXCRAWLER_DATA_DIR=str(data_dir), PIXCRAWLER_ALLOW_HOSTS="127.0.0.1")
    return cli


def test_a_source_that_can_be_read_is_ok(checking: Any, openverse: Replica, sql: Any) -> None:
    result = checking("sources", "check", "openverse")
    assert result.status == 0, result
    assert sql(CHECKS) == [("openverse", "ok", "20 pictures")]
    assert not openverse.fetched, "a check needs no picture"
    [listed] = [one for one in json.loads(checking("sources", "--json").out) if one["name"] == "openverse"]
    assert listed["check"]["state"] == "ok"


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('"results"', '"hits"', "cannot be read"),
        ('"url"', '"address"', "20 of 20 records cannot be read"),
        ('"creator"', '"maker"', "has a creator"),
        ('"foreign_landing_url"', '"page"', "has a page_url"),
        ('"http://', '"//', "addresses such as"),
    ],
    ids=["another list", "another address", "no creator", "no page", "half an address"],
)
def test_a_source_that_changed_is_broken(
    checking: Any, openverse: Replica, sql: Any, old: str, new: str, why: str
) -> None:
    openverse.mutations = {old: new}
    result = checking("sources", "check", "openverse")
    assert result.status == 1
    [(name, state, reason)] = sql(CHECKS)
    assert (name, state) == ("openverse", "broken")
    assert why in reason
    assert "broken" in result.out


def test_a_source_that_finds_nothing_of_what_everybody_has_is_broken(
    checking: Any, openverse: Replica, sql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openverse, "entries", lambda _: [])
    assert checking("sources", "check", "openverse").status == 1
    assert sql(CHECKS) == [("openverse", "broken", "0 pictures for 'mountain', at least 5 were expected")]


def test_who_does_not_answer_is_unreachable_and_not_skipped(checking: Any, sql: Any, settings_env: Any) -> None:
    settings_env(PIXCRAWLER_BASE_URL_OPENVERSE="http://127.0.0.1:1")
    result = checking("sources", "check", "openverse")
    assert result.status == 0
    [(_, state, _)] = sql(CHECKS)
    assert state == "unreachable"


def test_who_wants_a_pause_says_nothing_about_itself(checking: Any, openverse: Replica, sql: Any) -> None:
    checking("sources", "check", "openverse")
    openverse.limits = 5
    result = checking("sources", "check", "openverse")
    assert result.status == 0
    assert "not known" in result.out
    assert sql(CHECKS) == [("openverse", "ok", "20 pictures")]


def test_what_cannot_be_asked_is_not_checked(checking: Any, sql: Any) -> None:
    for name, why in (("pixabay", "PIXCRAWLER_ACCEPT_TERMS=pixabay"), ("flickr", "FLICKR_API_KEY"), ("urls", "list")):
        result = checking("sources", "check", name)
        assert result.status == 0
        assert why in "".join(result.out.split()), result.out
    assert sql(CHECKS) == []


def test_an_unknown_source_is_told_so(checking: Any) -> None:
    result = checking("sources", "check", "flikr")
    assert result.status == 2
    assert "no source 'flikr'" in result.err


def test_a_key_is_told_to_be_there_and_no_more(checking: Any, settings_env: Any) -> None:
    settings_env(FLICKR_API_KEY="s3cret")
    shown = checking("sources")
    told = checking("sources", "--json")
    assert "FLICKR_API_KEY (set)" in " ".join(shown.out.split())
    [flickr] = [one for one in json.loads(told.out) if one["name"] == "flickr"]
    assert flickr["key"] == {"variable": "FLICKR_API_KEY", "present": True}
    assert "s3cret" not in shown.out + told.out
