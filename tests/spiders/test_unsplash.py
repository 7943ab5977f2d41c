"""Unsplash wants to be told of each download, and shows advertisements among the results."""

from __future__ import annotations

from pathlib import Path

import pytest
from walks import walk, walking

from pixcrawler.demo.replicas.serving import serving
from pixcrawler.demo.replicas.unsplash import Unsplash

KEYWORD = "mountain lake"


def test_tells_of_each_download_once_and_takes_no_advertisement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = Unsplash(70)
    with (
        serving(replica),
        walking("unsplash", tmp_path, monkeypatch, **replica.arguments(KEYWORD)) as spider,
    ):
        done = walk(spider, KEYWORD)
    assert replica.told == {entry.id: 1 for entry in replica.entries(KEYWORD)}
    assert {item.source_id for item in done.items.values()} == set(replica.told)
