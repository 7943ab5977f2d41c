"""A picture that two sources offer has one key, so that a job fetches it once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from walks import walk, walking

from pixcrawler.demo.catalogue import Entry
from pixcrawler.demo.replicas import Replica
from pixcrawler.demo.replicas.flickr import Flickr
from pixcrawler.demo.replicas.openverse import Openverse
from pixcrawler.demo.replicas.serving import serving

KEYWORD = "mountain lake"
THERE = 40  # less than what either shows of one question


class Showcase(Openverse):
    """It has found all its pictures at Flickr: it tells of their pages there, and of their second sizes."""

    def __init__(self, flickr: Flickr) -> None:
        super().__init__(THERE)
        self.flickr = flickr

    def record(self, entry: Entry) -> dict[str, Any]:
        theirs = self.flickr.record(entry)
        page = f"https://www.flickr.com/photos/{theirs['owner']}/{theirs['id']}"
        found = {"provider": "flickr", "source": "nasa" if self._number(entry) % 2 else "flickr"}
        return super().record(entry) | found | {"url": theirs["url_l"], "foreign_landing_url": page}


def keys(replica: Replica, folder: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    with walking(replica.source, folder, monkeypatch, **replica.arguments(KEYWORD)) as spider:
        return set(walk(spider, KEYWORD).items)


def test_flickr_and_what_openverse_found_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Flickr(THERE)) as flickr, serving(Showcase(flickr)) as openverse:
        found = keys(openverse, tmp_path, monkeypatch)
        assert len(found) == THERE
        assert found == keys(flickr, tmp_path, monkeypatch)
