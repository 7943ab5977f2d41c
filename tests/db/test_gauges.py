"""What is in rows, as gauges."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from worlds import World, crawling, node, settings, world  # noqa: F401  # fixtures

from pixcrawler.cli.access import in_transaction
from pixcrawler.db import gauges
from pixcrawler.exposition import page
from pixcrawler.jobs import Spent

AGES = ("oldest_pending_seconds", "oldest_due_seconds", "oldest_heartbeat_seconds", "oldest_export_seconds")


@pytest.fixture
def told(settings: Any) -> Any:  # noqa: F811
    """`told()`: values by name and label, without the prefix."""

    def read() -> dict[str, float]:
        rows = asyncio.run(in_transaction(settings.database_url.get_secret_value(), gauges.read))
        families = text_string_to_metric_families(page(rows).decode())
        samples = [one for family in families for one in family.samples]
        return {" ".join([one.name.removeprefix("pixcrawler_"), *one.labels.values()]): one.value for one in samples}

    return read


def test_the_life_of_a_job(world: World, told: Any) -> None:  # noqa: F811
    assert told() == {"jobs pending": 0, "oldest_message_seconds": 0, **dict.fromkeys(AGES, 0)}
    job = world.insert(["cat"], 5)
    world.insert(["dog"], 5)
    world.sql("UPDATE public.crawl_jobs SET created_at = now() - interval '90 seconds' WHERE id = %s", (job,))
    now = told()
    assert now["jobs pending"] == 2
    assert 90 <= now["oldest_pending_seconds"] < 900

    world.tick()
    now = told()
    assert (now["jobs pending"], now["jobs crawling"], now["oldest_pending_seconds"]) == (0, 2, 0)
    assert (now["runs running"], now["attempts dispatched"]) == (2, 2)
    world.sql("UPDATE crawler.runs SET state = 'pending', created_at = now() - interval '80 seconds' WHERE id = 2")
    world.sql("UPDATE crawler.attempts SET state = 'lost', ended_at = now() WHERE run = 2")
    world.crawl("1-1", crawling(5, Spent.EXHAUSTED, end=False))
    world.sql("UPDATE crawler.attempts SET heartbeat_at = now() - interval '70 seconds' WHERE run = 1")
    now = told()
    assert (now["runs running"], now["runs pending"], now["attempts running"]) == (1, 1, 1)
    assert now["attempts_ended lost"] == 1
    assert 80 <= now["oldest_due_seconds"] < 800
    assert 70 <= now["oldest_heartbeat_seconds"] < 700

    world.sql("UPDATE crawler.jobs SET state = 'completed', outcome = 'full', finished_at = now() WHERE id = 1")
    world.sql("INSERT INTO crawler.outbox (owner, channel, message) SELECT owner, 'email', '{}' FROM crawler.jobs")
    world.sql("INSERT INTO crawler.sources (name, state, report) VALUES ('met', 'ok', '{}'), ('nasa', 'broken', '{}')")
    now = told()
    assert (now["jobs_ended full"], now["messages email"]) == (1, 2)
    assert (now["source_ok met"], now["source_ok nasa"]) == (1, 0)
