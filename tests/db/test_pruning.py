"""`pixcrawler db prune`: what goes, what stays, and that nobody notices."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner
from worlds import crawling, node, settings, world  # noqa: F401  # fixtures

from pixcrawler.cli import app
from pixcrawler.db import pruning
from pixcrawler.jobs import Spent

COUNTS = """
SELECT (SELECT count(*) FROM crawler.candidates WHERE decision = 'kept'),
    (SELECT count(*) FROM crawler.candidates WHERE decision <> 'kept'),
    (SELECT count(*) FROM crawler.attempts), (SELECT count(*) FROM crawler.runs),
    (SELECT count(*) FROM crawler.fingerprints), (SELECT count(*) FROM public.images)
"""


@pytest.fixture
def pixcrawler(settings_env: Any, database_url: str) -> Any:
    """`pixcrawler("db prune")`: what it prints."""

    def run(command: str) -> str:
        settings_env(DATABASE_URL=database_url)
        result = CliRunner().invoke(app, command.split())
        assert result.exit_code == 0, result.output
        return result.output

    return run


@pytest.fixture
def ended(world: Any) -> int:  # noqa: F811
    """A job that kept 10 of 30 pictures it found, and ended 100 days ago."""
    job: int = world.insert(["cat"], 10)
    world.tick()
    world.crawl("1-1", crawling(30, Spent.EXHAUSTED))
    world.tick(3)
    world.sql("UPDATE crawler.exports SET state = 'done', key = 'k', size = 1, sha256 = 'x'")
    world.tick()
    assert world.job(job)["status"] == "completed"
    age(world, job, 100)
    return job


def age(world: Any, job: int, days: int) -> None:  # noqa: F811
    world.sql("UPDATE crawler.jobs SET finished_at = now() - make_interval(days => %s) WHERE id = %s", (days, job))


def test_first_it_only_says_what_would_go(world: Any, ended: int, pixcrawler: Any) -> None:  # noqa: F811
    before = world.sql(COUNTS)
    assert pixcrawler("db prune") == (
        "20 candidates and 1 attempts of 1 jobs, 0 messages\ndelete them with: pixcrawler db prune --days 90 --delete\n"
    )
    assert world.sql(COUNTS) == before == [(10, 20, 1, 1, 10, 10)]


def test_what_was_kept_stays_with_its_origin(world: Any, ended: int, pixcrawler: Any, monkeypatch: Any) -> None:  # noqa: F811
    monkeypatch.setattr(pruning, "BATCH", 7)
    seen = json.loads(pixcrawler(f"jobs show {ended} --json"))
    assert pixcrawler("db prune --delete") == "21 rows were deleted\n"
    assert world.sql(COUNTS) == [(10, 0, 0, 1, 10, 10)]
    assert pixcrawler("db prune") == "0 candidates and 0 attempts of 0 jobs, 0 messages\n"
    now = json.loads(pixcrawler(f"jobs show {ended} --json"))
    assert now["funnel"] == seen["funnel"]
    assert [run["found"] for run in now["runs"]] == [30]


def test_younger_jobs_and_those_at_work_are_let_be(world: Any, ended: int, pixcrawler: Any) -> None:  # noqa: F811
    age(world, ended, 89)
    world.insert(["dog"])
    world.tick()
    before = world.sql(COUNTS)
    assert pixcrawler("db prune --delete") == "0 rows were deleted\n"
    assert world.sql(COUNTS) == before


def test_what_the_owner_sees_stays(world: Any, ended: int, pixcrawler: Any) -> None:  # noqa: F811
    before = world.job(ended)
    pixcrawler("db prune --delete")
    world.sql("UPDATE public.crawl_jobs SET status = 'pending' WHERE id = %s", (ended,))
    world.tick()
    assert world.job(ended) == before


def test_a_pruned_job_can_be_extended(world: Any, ended: int, pixcrawler: Any) -> None:  # noqa: F811
    pixcrawler("db prune --delete")
    pixcrawler(f"jobs extend {ended} --max-images 15")
    world.tick()
    world.crawl(world.node.scheduled[-1], crawling(30, Spent.EXHAUSTED))
    world.tick()
    assert world.sql("SELECT kept FROM crawler.jobs WHERE id = %s", (ended,)) == [(15,)]
    assert len(world.sql("SELECT DISTINCT hash FROM public.images WHERE crawl_job_id = %s", (ended,))) == 15
