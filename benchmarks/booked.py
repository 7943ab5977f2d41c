"""A job in the database as the dispatcher would have left it: claimed, planned, and its attempts delivered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from pixcrawler.config import Config
from pixcrawler.db import attempts, crawl_jobs, jobs, runs
from pixcrawler.db.engine import create, transaction
from pixcrawler.jobs import Slice
from pixcrawler.storage import open_storage

LEASE = 600.0  # seconds, until the process renews it
DEADLINE = 24 * 3600.0  # seconds


def book(url: str, data_dir: Path, list_file: Path, keywords: Sequence[str], images: int) -> list[str]:
    """A job on a list, with a run for each keyword and an even share of the images. Returns the names of attempts."""
    return asyncio.run(_book(url, data_dir, list_file, list(keywords), images))


async def _book(url: str, data_dir: Path, list_file: Path, keywords: list[str], images: int) -> list[str]:
    key = f"lists/{list_file.name}"
    await open_storage(Config(data_dir=data_dir)).put_file(key, list_file, "text/plain")
    options = {"sources": ["urls"], "list": key}
    engine = create(url, application_name="pixcrawler benchmark", pool_size=1)
    try:
        async with transaction(engine) as connection:
            about = {"project_id": 1, "name": "benchmark", "keywords": keywords}
            job = await crawl_jobs.create(connection, max_images=images, options=options, **about)
            claim = {"owner": None, "requested": images, "deadline_seconds": DEADLINE}
            await jobs.claim(connection, job, options=options, **about, **claim)
            await crawl_jobs.start(connection, job)
            names = []
            for keyword in keywords:
                slices = {keyword: Slice(images // len(keywords))}
                run = await runs.create(connection, job=job, generation=1, source="urls", slices=slices)
                number = await attempts.create(connection, job=job, run=run, node="benchmark", lease_seconds=LEASE)
                names.append(f"{run}-{number}")
            return names
    finally:
        await engine.dispose()
