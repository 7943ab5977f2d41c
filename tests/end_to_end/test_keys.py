"""An operator's keys reach the sources they are for, and nothing that is written, said or stored."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, urlencode

import pytest
from loopback import Crawl, crawl

from pixcrawler.demo.replicas import Answer, Asked, Replica, replica_of
from pixcrawler.demo.replicas.serving import serving

SECRET = "k3y+0f/th3=0perat0r"  # an address has it in other words
WRITTEN = (SECRET, quote_plus(SECRET), quote_plus(SECRET).lower())
KEYWORD = "mountain lake"
WANTED = 3
VARIABLES = {"pixabay": "PIXABAY_API_KEY", "flickr": "FLICKR_API_KEY"}
TIMEOUT = 4  # seconds, of a download


def too_large(asked: Asked) -> Answer:
    return Answer(b"{", headers={"Content-Type": "application/json", "Content-Length": str(30 * 2**20)})


def cut_short(asked: Asked) -> Answer:
    return Answer(b"{", headers={"Content-Type": "application/json", "Content-Length": "9", "Connection": "close"})


def too_late(asked: Asked) -> Answer:
    time.sleep(TIMEOUT + 1)
    return Answer(b"{}")


def moved(asked: Asked) -> Answer:
    return Answer(status=302, headers={"Location": f"{asked.path}?{urlencode(asked.query)}&moved=yes"})


def refusing(asked: Asked) -> Answer:
    """Nobody should say this, but some repeat what they were asked."""
    return Answer.text(f"[ERROR 400] Invalid API key {asked.query.get('key')}", "text/plain", 400)


def unlucky(replica: Replica, *mishaps: Callable[[Asked], Answer]) -> Replica:
    """The first questions are answered by these mishaps."""
    coming, well = iter(mishaps), replica.page

    def page(asked: Asked) -> Answer | None:
        mishap = next(coming, None)
        return mishap(asked) if mishap else well(asked)

    replica.page = page  # type: ignore[method-assign]
    return replica


def crawled(tmp_path: Path, replica: Replica, *more: str) -> Crawl:
    arguments = [part for name, value in replica.arguments(KEYWORD).items() for part in ("-a", f"{name}={value}")]
    settings = ["-s", "LOG_LEVEL=DEBUG", "-s", f"DOWNLOAD_TIMEOUT={TIMEOUT}"]
    key = {VARIABLES[replica.source]: SECRET, "PIXCRAWLER_ACCEPT_TERMS": replica.source}
    return crawl(tmp_path, replica.source, *arguments, "-a", f"max_images={WANTED}", *settings, *more, **key)


def leaks(texts: dict[str, str]) -> list[str]:
    """Where the key is, with what is before it."""
    return [
        f"{where}: …{text[max(0, text.index(form) - 200) : text.index(form)]}"
        for where, text in texts.items()
        for form in WRITTEN
        if form in text
    ]


def written_by(ended: Crawl) -> dict[str, str]:
    return {"stdout": ended.output, "stderr": ended.log} | files_of(ended.data)


def files_of(folder: Path) -> dict[str, str]:
    """Names and contents."""
    return {str(path): f"{path}\n{path.read_bytes().decode('latin-1')}" for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(params=[("pixabay", too_large, cut_short), ("flickr", too_late, too_large)])
def replica(request: pytest.FixtureRequest) -> Iterator[Replica]:
    source, *mishaps = request.param
    with serving(unlucky(replica_of(source, 12), moved, *mishaps)) as served:
        yield served


def test_a_key_is_written_nowhere(tmp_path: Path, replica: Replica) -> None:
    ended = crawled(tmp_path, replica)
    assert len(ended.kept) == WANTED
    assert leaks(written_by(ended)) == []
    assert "Redirecting (302)" in ended.log
    assert "Dumping Scrapy stats" in ended.log
    assert all(SECRET in asked.query.values() for asked in replica.asked)


def test_a_source_that_repeats_the_key_is_not_quoted(tmp_path: Path) -> None:
    with serving(unlucky(replica_of("pixabay"), refusing)) as replica:
        ended = crawled(tmp_path, replica)
    assert "Invalid API key" in ended.log
    assert leaks(written_by(ended)) == []


@pytest.fixture
def europeana() -> Iterator[Replica]:
    with serving(unlucky(replica_of("europeana", 12), moved)) as replica:
        yield replica


@pytest.fixture
def variables(europeana: Replica) -> dict[str, str]:
    return {
        "EUROPEANA_KEY": SECRET,
        "PIXCRAWLER_BASE_URL_EUROPEANA": europeana.url,
        "PIXCRAWLER_DEFAULT_SOURCES": "europeana",
        "PIXCRAWLER_LOG_LEVEL": "DEBUG",
    }


def test_a_key_is_in_no_row(system: Any, europeana: Replica) -> None:
    assert system.ended(system.insert([KEYWORD], WANTED)) == "completed"
    assert europeana.asked
    assert leaks(rows(system.sql) | files_of(system.folder)) == []


def rows(sql: Callable[..., list[tuple[Any, ...]]]) -> dict[str, str]:
    """Every row of every table of ours and of the front end's."""
    tables = sql(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname IN ('crawler', 'public')"
    )
    return {name: "\n".join(text for (text,) in sql(f"SELECT t::text FROM {name} t")) for (name,) in tables}
