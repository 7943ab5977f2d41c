"""Jobs on several sources, in a whole system: one may break, two may have the same pictures, some may not serve."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from pixcrawler.demo.catalogue import Entry
from pixcrawler.demo.replicas import Answer, Asked, Replica, replica_of
from pixcrawler.demo.replicas.serving import serving

KEYWORD = "mountain lake"
DEFAULTS = ("openverse", "commons", "nasa")
THERE = 60  # pictures each has


@pytest.fixture
def replicas() -> Iterator[dict[str, Replica]]:
    """By source; each has pictures of its own."""
    with ExitStack() as served:
        yield {name: served.enter_context(serving(own(replica_of(name, THERE)))) for name in (*DEFAULTS, "pexels")}


@pytest.fixture
def variables(replicas: dict[str, Replica]) -> dict[str, str]:
    return {
        **{f"PIXCRAWLER_BASE_URL_{name.upper()}": replica.url for name, replica in replicas.items()},
        "PIXCRAWLER_DEFAULT_SOURCES": ",".join(DEFAULTS),
        "PIXCRAWLER_ACCEPT_TERMS": "pexels",
        "PEXELS_API_KEY": "of-the-operator",
    }


def own(replica: Replica) -> Replica:
    """With other pictures than the others have of the same keyword."""
    all_of = replica.entries
    replica.entries = lambda keyword: all_of(f"{keyword} of {replica.source}")  # type: ignore[method-assign]
    return replica


def redesigned_after(replica: Replica, pages: int) -> None:
    """Lets its first pages be as they were, and those after them unreadable."""
    page = replica.page

    def changing(asked: Asked) -> Answer | None:
        if len(replica.asked) == pages + 1:
            replica.mutations = dict([replica.redesign])
        return page(asked)

    replica.page = changing  # type: ignore[method-assign]


def created(system: Any, max_images: int, *more: str) -> int:
    """The number of a new job, as an operator makes it."""
    words = ("--keywords", KEYWORD, "--max-images", str(max_images), "--json")
    result = system.cli("jobs", "create", *words, *more)
    assert result.returncode == 0, result.stderr
    return int(json.loads(result.stdout)["id"])


def completed(system: Any, max_images: int, *more: str) -> int:
    job = created(system, max_images, *more)
    assert system.ended(job) == "completed"
    assert_it_adds_up(system, job)
    return job


def assert_it_adds_up(system: Any, job: int) -> None:
    """Every picture met has one verdict, and all that count them count the same."""
    shown = json.loads(system.cli("jobs", "show", str(job), "--json").stdout)
    reasons = verdicts(system, job)
    found, kept = sum(reasons.values()), reasons.pop("kept")
    assert "open" not in reasons
    assert shown["funnel"] == {"found": found, "kept": kept, "reasons": reasons}
    rows = system.sql("SELECT count(*), count(DISTINCT hash) FROM public.images WHERE crawl_job_id = %s", (job,))
    assert rows == [(kept, kept)]
    assert outcome(system, job)[1] == kept


def verdicts(system: Any, job: int) -> dict[str, int]:
    counted = "SELECT coalesce(decision, 'open'), count(*) FROM crawler.candidates WHERE job = %s GROUP BY 1"
    return dict(system.sql(counted, (job,)))


def kept_by_source(system: Any, job: int) -> dict[str, int]:
    counted = (
        "SELECT r.source, count(*) FROM crawler.candidates c JOIN crawler.runs r ON r.id = c.run"
        " WHERE c.job = %s AND decision = 'kept' GROUP BY 1"
    )
    return dict(system.sql(counted, (job,)))


def sources_planned(system: Any, job: int) -> set[str]:
    return {source for (source,) in system.sql("SELECT source FROM crawler.runs WHERE job = %s", (job,))}


def outcome(system: Any, job: int) -> tuple[str, int]:
    [found] = system.sql("SELECT outcome, kept FROM crawler.jobs WHERE id = %s", (job,))
    return tuple(found)


@pytest.mark.timeout(300)  # three jobs, and two checks
def test_what_a_broken_source_owes_comes_from_the_other(system: Any, replicas: dict[str, Replica]) -> None:
    openverse, both = replicas["openverse"], ("--sources", "openverse,pexels")
    redesigned_after(openverse, 1)
    job = completed(system, 60, *both)  # of Openverse 30, which are more than its first page has
    assert outcome(system, job) == ("full", 60)
    assert kept_by_source(system, job) == {"openverse": 20, "pexels": 40}
    failed = system.sql("SELECT source, outcome FROM crawler.runs WHERE job = %s AND state = 'failed'", (job,))
    [(source, reason)] = failed
    assert source == "openverse"
    assert "20 of 20 records cannot be read" in reason

    check = system.cli("sources", "check", "openverse")
    assert check.returncode == 1
    assert "broken" in check.stdout
    [(state, why)] = system.sql("SELECT state, reason FROM crawler.sources WHERE name = 'openverse'")
    assert state == "broken"
    assert "records cannot be read" in why

    asked = len(openverse.asked)
    job = completed(system, 40, *both)
    assert outcome(system, job) == ("full", 40)
    assert sources_planned(system, job) == {"pexels"}
    assert len(openverse.asked) == asked

    openverse.mutations = {}
    assert system.cli("sources", "check", "openverse").returncode == 0
    job = completed(system, 40, *both)
    assert kept_by_source(system, job) == {"openverse": 20, "pexels": 20}


def test_a_picture_of_two_sources_is_fetched_once(system: Any, replicas: dict[str, Replica]) -> None:
    """Commons shows 20 of Openverse's pictures, by addresses that say where one came from, and 20 of its own."""
    openverse, commons = replicas["openverse"], replicas["commons"]
    shared, its_own = openverse.entries(KEYWORD)[:20], commons.entries(KEYWORD)[:20]

    def address(entry: Entry) -> str:
        return (openverse if entry in shared else commons).url + entry.path

    commons.entries = lambda _: [*shared, *its_own]  # type: ignore[method-assign]
    commons.address = address  # type: ignore[method-assign]
    job = completed(system, 2 * (THERE + 20), "--sources", "openverse,commons")  # more than there are: all are met
    assert outcome(system, job) == ("short", THERE + 20)
    fetched = openverse.fetched + commons.fetched
    assert len(fetched) == THERE + 20
    assert set(fetched.values()) == {1}
    assert verdicts(system, job) == {"kept": THERE + 20, "duplicate_url": 20}
    urls = {url.partition("?")[0] for (url,) in system.sql("SELECT original_url FROM public.images")}
    assert urls == {openverse.url + path for path in openverse.fetched} | {commons.url + e.path for e in its_own}


def test_whoever_names_no_source_gets_those_that_can_serve(system: Any, replicas: dict[str, Replica]) -> None:
    job = completed(system, 60)
    assert outcome(system, job) == ("full", 60)
    assert kept_by_source(system, job) == dict.fromkeys(DEFAULTS, 20)
    assert not replicas["pexels"].asked

    asked = {name: len(replica.asked) for name, replica in replicas.items()}
    job = completed(system, 15, "--filter", "date=2005..2010")  # only NASA's search knows of dates
    assert outcome(system, job) == ("full", 15)
    assert sources_planned(system, job) == {"nasa"}
    changed = {name for name, replica in replicas.items() if len(replica.asked) > asked[name]}
    assert changed == {"nasa"}
