"""However long the history: nothing that is asked at every tick reads a large table from one end to the other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pictures import encoded, photo
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from worlds import node, pictures, settings, world  # noqa: F401  # fixtures

from pixcrawler.cli.access import in_transaction
from pixcrawler.db import accounts, api_keys, gauges, images, jobs, notifications, overview, projects, usage
from pixcrawler.db.ledger import PostgresLedger
from pixcrawler.export.loop import Exporter
from pixcrawler.imaging import inspect
from pixcrawler.jobs import AttemptState, Outcome, Spent
from pixcrawler.storage import open_storage

# 12,000 jobs of 400 owners that have ended, as a busy year leaves them. Random enough for PostgreSQL's statistics.
HISTORY = """
    INSERT INTO auth.users (id, email) SELECT gen_random_uuid(), n || '@example.test' FROM generate_series(1, 400) n;
    INSERT INTO public.profiles (id, email) SELECT id, email FROM auth.users ON CONFLICT DO NOTHING;
    INSERT INTO public.credit_accounts (user_id, current_balance) SELECT id, 5000 FROM public.profiles
        ON CONFLICT DO NOTHING;
    INSERT INTO public.notification_preferences (user_id) SELECT id FROM public.profiles ON CONFLICT DO NOTHING;
    INSERT INTO public.projects (name, user_id) SELECT 'p', id FROM public.profiles;
    INSERT INTO public.crawl_jobs (id, project_id, name, keywords, status)
        SELECT 100000 + n, (SELECT min(id) FROM public.projects) + n % 400, 'old', '["cat"]', 'completed'
        FROM generate_series(1, 12000) n;
    INSERT INTO crawler.jobs
            (id, state, owner, project_id, keywords, requested, asked, kept, charged, finished_at, swept_at)
        SELECT c.id, 'completed', p.user_id, p.id, c.keywords, 10, 10, 10, 10,
            now() - interval '8 days' - random() * interval '300 days', now()
        FROM public.crawl_jobs c JOIN public.projects p ON p.id = c.project_id WHERE c.id > 100000;
    INSERT INTO crawler.runs (job, generation, source, slices, state, funnel, ended_at)
        SELECT id, 1, 'openverse', '{}', 'succeeded', '{"found": 0, "kept": 0, "reasons": {}}',
            now() - random() * interval '300 days' FROM crawler.jobs WHERE id > 100000;
    INSERT INTO crawler.attempts (run, attempt, job, node, state, ended_at)
        SELECT id, 1, job, 'node:6800', 'succeeded', ended_at FROM crawler.runs;
    INSERT INTO crawler.candidates (run, url_key, job, keyword, item, decision, decided_at)
        SELECT r.id, r.id || '/' || n, r.job, 'cat', '{}', CASE WHEN n < 3 THEN 'kept' ELSE 'too_small' END, now()
        FROM crawler.runs r, generate_series(1, 4) n;
    INSERT INTO public.images (crawl_job_id, original_url, filename, hash, file_size)
        SELECT job, url_key, url_key, md5(url_key) || md5(url_key), 1000
        FROM crawler.candidates WHERE decision = 'kept';
    INSERT INTO crawler.fingerprints
            (scope, job, image_id, sha256, codes, fingerprint, algorithm, pixels, freedom, credited)
        SELECT 'job:' || crawl_job_id, crawl_job_id, id, hash, '', '', 1, 1, 0, false FROM public.images;
    INSERT INTO crawler.exports (job, generation, version, format, tier, awaited, state, key, size, sha256)
        SELECT id, 1, 1, 'zip', 'hot', true, 'done', 'k', 1, 'x' FROM crawler.jobs WHERE id > 100000;
    INSERT INTO crawler.outbox (owner, channel, message, state, ended_at)
        SELECT owner, 'email', '{}', 'sent', now() FROM crawler.jobs WHERE id > 100000;
    INSERT INTO public.credit_transactions (account_id, user_id, type, description, amount, balance_after)
        SELECT a.id, a.user_id, 'usage', 'd', -1, 1 FROM public.credit_accounts a, generate_series(1, 10);
    INSERT INTO public.usage_metrics (user_id, metric_date)
        SELECT id, current_date - n FROM public.profiles, generate_series(1, 10) n;
    INSERT INTO public.notifications (user_id, type, title, message)
        SELECT id, 'info', 't', 'm' FROM public.profiles, generate_series(1, 10);
    INSERT INTO public.activity_logs (user_id, action)
        SELECT id, 'SIGN_IN' FROM public.profiles, generate_series(1, 10);
"""
LARGE = 1000  # rows; a smaller table is a few pages
SCANS = """
    SELECT schemaname || '.' || relname, seq_scan, n_live_tup FROM pg_stat_user_tables
    WHERE schemaname IN ('public', 'crawler')
"""
BUSY = "SELECT idx_scan FROM pg_stat_user_tables WHERE schemaname = 'crawler' AND relname = 'candidates'"


@pytest.fixture
def history(world: Any) -> Any:  # noqa: F811
    world.sql(HISTORY)
    world.sql("ANALYZE")
    return world


def scans(world: Any) -> dict[str, int]:  # noqa: F811
    """How often each large table was read from one end to the other."""
    world.sql("SELECT pg_stat_force_next_flush()")
    return {table: number for table, number, rows in world.sql(SCANS) if rows >= LARGE}


def test_the_life_of_a_job_reads_no_large_table_whole(history: Any) -> None:
    before = scans(history)
    assert len(before) > 10
    lives(history)
    after = scans(history)
    assert {table: after[table] - before[table] for table in before if after[table] > before[table]} == {}


def lives(world: Any) -> None:  # noqa: F811
    """One job is crawled, exported and extended, another one cancelled; people look at them."""
    url = world.settings.database_url.get_secret_value()
    job, other = world.insert(["cat"], 5), world.insert(["dog"], 5)
    world.tick(2)
    [(run,)] = world.sql("SELECT id FROM crawler.runs WHERE job = %s", (job,))
    world.crawl(f"{run}-1", lambda book: keep_five(world, book))
    world.sql("UPDATE public.crawl_jobs SET status = 'cancelled' WHERE id = %s", (other,))
    world.tick(2)
    asyncio.run(export(world))
    world.tick(2)
    assert world.job(job)["status"] == "completed"
    terms = {"deadline_seconds": 1000, "jobs_by_credits": {0: 100}}
    asyncio.run(in_transaction(url, lambda c: jobs.extend(c, job, 7, **terms)))
    world.tick(2)
    asyncio.run(in_transaction(url, lambda c: overview.overview(c, job)))
    asyncio.run(in_transaction(url, lambda c: overview.newest_jobs(c, 20)))
    asyncio.run(in_transaction(url, gauges.read))
    asyncio.run(in_transaction(url, lambda c: questions_of_an_owner(c, job)))


async def questions_of_an_owner(connection: AsyncConnection, job: int) -> None:
    """What the API and the dashboard ask for one of many."""
    about = await connection.execute(text("SELECT user_id FROM public.projects ORDER BY id LIMIT 1"))
    owner = about.scalar_one()
    assert await overview.is_of(connection, job, owner)
    await overview.page(connection, owner, None, 20)
    await overview.progress(connection, [job])
    await overview.at_work(connection, owner)
    await images.page(connection, job, None, 20)
    await projects.page(connection, owner, None, 20)
    await notifications.page(connection, owner, None, 20, unread=True)
    await api_keys.page(connection, owner, None, 20)
    await accounts.account(connection, owner)
    await accounts.transactions(connection, owner, None, 20)
    await usage.days(connection, owner, 30)


async def keep_five(world: Any, book: PostgresLedger) -> None:  # noqa: F811
    """A crawl that finds eight pictures, and stores those it may keep."""
    run = await book.open()
    assert run is not None
    todo = await book.add_page("cat", pictures(*range(8)), 2, Spent.EXHAUSTED)
    await book.begin(todo)
    for seed, item in enumerate(todo):
        data = encoded(photo(seed))
        item.inspection, item.received = inspect(data), True
        item.storage_key = f"{run.storage_prefix}/images/{item.inspection.sha256}.jpg"
        item.storage_url = await open_storage(world.settings).put(item.storage_key, data, "image/jpeg")
    await asyncio.gather(*map(book.keep, todo))
    await book.close(Outcome(AttemptState.SUCCEEDED))


async def export(world: Any) -> None:  # noqa: F811
    exporter = Exporter(world.settings.database_url.get_secret_value(), world.settings)
    try:
        while await exporter.step():
            pass
    finally:
        await exporter.close()
