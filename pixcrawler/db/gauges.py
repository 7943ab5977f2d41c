"""What is in rows, for whoever watches: one statement, every part of it along an index."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import GaugeMetricFamily
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# By name: what it says, and its label if it has one.
GAUGES = {
    "jobs": ("Jobs that have not ended", "state"),
    "oldest_pending_seconds": ("How long the job has waited that waits longest for its claim", None),
    "jobs_ended": ("Jobs that ended within the last hour", "outcome"),
    "runs": ("Runs that have not ended", "state"),
    "oldest_due_seconds": ("How long the run has waited that waits longest for a slot", None),
    "attempts": ("Attempts that have not ended", "state"),
    "oldest_heartbeat_seconds": ("Time since the sign of life of the crawl process that gave none for longest", None),
    "attempts_ended": ("Attempts that ended within the last hour", "state"),
    "exports": ("Datasets that are not built yet", "state"),
    "oldest_export_seconds": ("How long the dataset has waited that waits longest", None),
    "messages": ("Notifications that wait to leave the house", "channel"),
    "oldest_message_seconds": ("How long the notification is overdue that is overdue for longest", None),
    "source_ok": ("Whether the last check of a source could read it", "source"),
}
READ = text("""
    WITH pending AS (
        SELECT now() - min(created_at) AS age, count(*) AS number FROM public.crawl_jobs WHERE status = 'pending'
    ), open_runs AS (
        SELECT state, greatest(created_at, not_before) AS since FROM crawler.runs
        WHERE state IN ('pending', 'running', 'deferred')
    ), open_attempts AS (
        SELECT state, heartbeat_at FROM crawler.attempts WHERE state IN ('dispatching', 'dispatched', 'running')
    ), open_exports AS (
        SELECT state, created_at FROM crawler.exports WHERE state IN ('pending', 'building')
    ), waiting AS (
        SELECT channel, not_before FROM crawler.outbox WHERE state = 'pending'
    )
    SELECT 'jobs' AS name, 'pending' AS label, number::float8 AS value FROM pending
    UNION ALL SELECT 'jobs', state, count(*) FROM crawler.jobs
        WHERE state IN ('crawling', 'cancelling', 'exporting') GROUP BY state
    UNION ALL SELECT 'oldest_pending_seconds', NULL, extract(epoch FROM age) FROM pending
    UNION ALL SELECT 'jobs_ended', outcome, count(*) FROM crawler.jobs
        WHERE finished_at > now() - interval '1 hour' GROUP BY outcome
    UNION ALL SELECT 'runs', state, count(*) FROM open_runs GROUP BY state
    UNION ALL SELECT 'oldest_due_seconds', NULL, extract(epoch FROM now() - min(since)) FROM open_runs
        WHERE state IN ('pending', 'deferred') AND since <= now()
    UNION ALL SELECT 'attempts', state, count(*) FROM open_attempts GROUP BY state
    UNION ALL SELECT 'oldest_heartbeat_seconds', NULL, extract(epoch FROM now() - min(heartbeat_at)) FROM open_attempts
        WHERE state = 'running'
    UNION ALL SELECT 'attempts_ended', state, count(*) FROM crawler.attempts
        WHERE ended_at > now() - interval '1 hour' GROUP BY state
    UNION ALL SELECT 'exports', state, count(*) FROM open_exports GROUP BY state
    UNION ALL SELECT 'oldest_export_seconds', NULL, extract(epoch FROM now() - min(created_at)) FROM open_exports
    UNION ALL SELECT 'messages', channel, count(*) FROM waiting GROUP BY channel
    UNION ALL SELECT 'oldest_message_seconds', NULL, extract(epoch FROM now() - min(not_before)) FROM waiting
        WHERE not_before <= now()
    UNION ALL SELECT 'source_ok', name, (state = 'ok')::int FROM crawler.sources
""")


async def read(connection: AsyncConnection) -> list[GaugeMetricFamily]:
    """Every gauge with its values. An age of what is not there is 0."""
    families = dict(_families())
    for name, label, value in await connection.execute(READ):
        families[name].add_metric([] if GAUGES[name][1] is None else [str(label)], value or 0.0)
    return list(families.values())


def _families() -> Iterator[tuple[str, GaugeMetricFamily]]:
    for name, (words, label) in GAUGES.items():
        yield name, GaugeMetricFamily(f"pixcrawler_{name}", words, labels=[label] if label else [])
