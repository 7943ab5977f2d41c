"""One crawl process is told, all know: `crawler.hosts`."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback import Web, finished, started, web
from worlds import World, ledger

from pixcrawler.db.ledger import PostgresLedger
from pixcrawler.ledger import Pause

HOST = "localhost"  # where the pictures are; the search is at 127.0.0.1
KNOWN_AFTER = 2.0  # seconds


def told(world: World, *stories: Callable[[PostgresLedger], Any]) -> list[Any]:
    """What crawl processes do one after the other, each with a ledger of its own."""

    async def tell() -> list[Any]:
        results = []
        for story in stories:
            async with ledger(world.settings, "1-1") as book:
                results.append(await story(book))
        return results

    return asyncio.run(tell())


def test_what_one_was_told_all_know(world: World) -> None:
    *_, known = told(
        world,
        lambda book: book.pause("a.test", Pause(90, "answers 429")),
        lambda book: book.pause("b.test", Pause(3600, "answers 503")),
        lambda book: book.paused_hosts(),
    )
    assert {host: pause.reason for host, pause in known.items()} == {"a.test": "answers 429", "b.test": "answers 503"}
    assert 80 < known["a.test"].seconds <= 90
    assert 3590 < known["b.test"].seconds <= 3600


def test_the_longer_pause_stays(world: World) -> None:
    *_, known = told(
        world,
        lambda book: book.pause("a.test", Pause(90, "answers 429")),
        lambda book: book.pause("a.test", Pause(5, "answers 503")),
        lambda book: book.pause("b.test", Pause(5, "answers 503")),
        lambda book: book.pause("b.test", Pause(90, "answers 429")),
        lambda book: book.paused_hosts(),
    )
    assert {host: pause.reason for host, pause in known.items()} == dict.fromkeys(("a.test", "b.test"), "answers 429")
    assert min(pause.seconds for pause in known.values()) > 80


def test_a_pause_that_is_over_is_forgotten(world: World) -> None:
    world.sql("INSERT INTO crawler.hosts (host, not_before, reason) VALUES ('a.test', now() - interval '1 s', 'x')")
    assert told(world, lambda book: book.paused_hosts()) == [{}]
    told(world, lambda book: book.pause("a.test", Pause(90, "answers 429")))
    assert list(told(world, lambda book: book.paused_hosts())[0]) == ["a.test"]


@pytest.fixture
def source() -> Iterator[Web]:
    with web() as running:
        yield running


def begin(world: World, source: Web, folder: Path) -> tuple[int, subprocess.Popen[str]]:
    """A job for pictures of HOST, and its crawl process."""
    source.latency = 0.3
    port = source.server_address[1]
    source.results = {"otter": [f"http://{HOST}:{port}{path}" for path in source.photos(120)]}
    job = world.insert(["otter"], 120)
    world.tick()
    [attempt] = world.node.scheduled
    assert world.settings.database_url is not None
    process = started(
        folder,
        "openverse",
        "-a",
        f"_job={attempt}",
        DATABASE_URL=world.settings.database_url.get_secret_value(),
        PIXCRAWLER_BASE_URL_OPENVERSE=source.address,
        PIXCRAWLER_ALLOW_HOSTS=f"127.0.0.1,{HOST}",
        PIXCRAWLER_OPT_OUT_EXEMPT=f"127.0.0.1,{HOST}",
    )
    return job, process


def fetched(source: Web) -> list[float]:
    """When pictures were asked for: time.time()."""
    return [moment for moment, path in list(source.log) if path.startswith("/photo/")]


def until(process: subprocess.Popen[str], what: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_crawl_hears_what_another_one_was_told(world: World, source: Web, tmp_path: Path) -> None:
    job, process = begin(world, source, tmp_path)
    until(process, lambda: len(fetched(source)) >= 10)
    world.sql(
        "INSERT INTO crawler.hosts (host, not_before, reason) VALUES (%s, now() + interval '1 hour', 'answers 429')",
        (HOST,),
    )
    moment = time.time()
    finished(process, tmp_path)
    assert [at for at in fetched(source) if at > moment + KNOWN_AFTER] == []
    decisions = world.decisions(job)
    assert decisions.keys() == {"kept", "paused"}
    assert sum(decisions.values()) == 120
    [(detail,)] = world.sql(
        "SELECT DISTINCT split_part(detail, ';', 1) FROM crawler.candidates WHERE decision = 'paused'"
    )
    assert detail == f"HostPaused: {HOST} answers 429"
    assert world.sql("SELECT DISTINCT metadata->>'ip' FROM public.images") == [("127.0.0.1",)]


def test_a_crawl_tells_what_it_was_told(world: World, source: Web, tmp_path: Path) -> None:
    job, process = begin(world, source, tmp_path)
    until(process, lambda: len(fetched(source)) >= 10)
    for answer in source.answers.values():
        answer.status, answer.headers = 429, {"Retry-After": "3600"}
    until(process, lambda: paused(world))
    known = time.time()
    finished(process, tmp_path)
    assert [at for at in fetched(source) if at > known + KNOWN_AFTER] == []
    assert world.decisions(job).keys() == {"kept", "paused"}


def paused(world: World) -> bool:
    rows = world.sql(
        "SELECT host, reason, not_before > now() + interval '59 minutes' FROM crawler.hosts WHERE not_before > now()"
    )
    assert rows in ([], [(HOST, "answers 429 and wants a pause", True)])
    return bool(rows)
