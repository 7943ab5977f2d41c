"""Every source crawled as people do it, from its replica: the number asked for, with the rights it knows."""

from __future__ import annotations

from pathlib import Path

import pytest
from loopback import Crawl, finished, started
from walks import SECRET

from pixcrawler.demo import replicas
from pixcrawler.demo.replicas import Replica, replica_of
from pixcrawler.demo.replicas.serving import serving
from pixcrawler.sources import spiders

KEYWORD = "mountain lake"
ASKED, THERE = 120, 150
PATIENCE = 110  # seconds; on a busy machine a crawl takes its time
MEASURED = {"width", "height", "mime", "filesize"}  # what is known better of a picture that is kept
ELSEWHERE = {"serving", "google"}  # no replica; in a browser, see middlewares/test_browser.py
SOURCES = sorted({path.stem for path in Path(replicas.__path__[0]).glob("[a-z]*.py")} - ELSEWHERE)


def crawled(replica: Replica, data: Path, **environment: str) -> Crawl:
    kind = spiders()[replica.source]
    key = {kind.key.variable: SECRET} if kind.key else {}
    given = {"max_images": str(ASKED), **replica.arguments(KEYWORD)}
    arguments = [word for name, value in given.items() for word in ("-a", f"{name}={value}")]
    accepted = {"PIXCRAWLER_ACCEPT_TERMS": replica.source, "HOME": str(data.parent)}  # where no cache lies about
    return finished(started(data, replica.source, *arguments, **key, **accepted, **environment), data, PATIENCE)


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_brings_the_number_asked_for(source: str, tmp_path: Path) -> None:
    """Through one broken record and one limit signal, which is waited for, or for long: then another crawl comes."""
    replica = replica_of(source, THERE)
    replica.limits, replica.broken = 1, frozenset({3})
    with serving(replica):
        ended = crawled(replica, tmp_path / "data")
        if ended.output.startswith("deferred"):
            assert not ended.kept
            ended = crawled(replica, tmp_path / "later")
    assert ended.status == 0, ended.log
    assert len(ended.kept) == ASKED, ended.output
    assert "Traceback" not in ended.log
    ended.check_files()
    assert replica.limits == 0
    assert max(replica.fetched.values()) == 1, "a picture was fetched twice"
    for name in set(spiders()[source].fields) - MEASURED:
        told = sum(bool(line.get(name)) for line in ended.kept)
        assert told > ASKED / 2, f"{name} of {told} pictures"
