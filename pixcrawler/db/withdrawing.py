"""Pictures of a job are taken back: their rows go, and every book that counts them is corrected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db import books, crawl_jobs, jobs, locks, retiring, runs, sweeping, takedowns
from pixcrawler.db.crawler import candidates, fingerprints
from pixcrawler.db.public import images
from pixcrawler.db.scopes import name_of
from pixcrawler.duplicates import Wanted
from pixcrawler.jobs import KEPT, UNFINISHED_RUNS, Funnel, Reason


async def withdraw(connection: AsyncConnection, takedown: int, job_id: int, ids: Sequence[int]) -> list[Any]:
    """Removes those of the images that are still there. Returns them (id, storage_key, kept)."""
    await locks.take(connection, crawl_jobs.PROJECTION)
    job = await jobs.lock(connection, job_id)
    key = images.c.metadata["storage_key"].astext.label("storage_key")
    is_kept = (images.c.is_valid & ~images.c.is_duplicate).label("kept")
    its = (images.c.crawl_job_id == job_id) & images.c.id.in_(ids)
    gone = (await connection.execute(select(images.c.id, images.c.hash, key, is_kept).where(its))).all()
    if job is None or not gone:
        return []
    there = [row.id for row in gone]
    await _correct_funnels(connection, job_id, there)
    await connection.execute(
        delete(fingerprints).where(
            fingerprints.c.scope == name_of(Wanted.of(job.options).extent, job),
            fingerprints.c.sha256.in_([row.hash for row in gone]),
            fingerprints.c.image_id.in_(there),
        )
    )
    kept = sum(row.kept for row in gone)
    await retiring.withdraw(connection, job, left=job.kept - kept)
    await takedowns.count(connection, takedown, len(gone))
    await sweeping.unsweep(connection, job_id)
    await crawl_jobs.lock(connection, job_id)
    await connection.execute(delete(images).where(its))
    await books.take_back(connection, job, kept)
    await crawl_jobs.project(connection, job_id)
    return list(gone)


async def _correct_funnels(connection: AsyncConnection, job: int, ids: Sequence[int]) -> None:
    """What was kept is withdrawn; counts move with it, and are not taken anew: rows of old jobs are pruned."""
    its = (candidates.c.job == job) & candidates.c.image_id.in_(ids)
    its &= candidates.c.decision.in_([KEPT, Reason.REPLACED])
    moved: dict[int, Counter[str]] = {}
    for run, decision in await connection.execute(select(*candidates.c["run", "decision"]).where(its)):
        moved.setdefault(run, Counter())[decision] += 1
    for number, counts in sorted(moved.items()):
        run = await runs.lock(connection, number)
        if run.state not in UNFINISHED_RUNS:
            now = Counter(Funnel.from_json(run.funnel).counts) - counts
            now[Reason.WITHDRAWN] += counts.total()
            await runs.recount(connection, number, Funnel(now))
    values = {"decision": Reason.WITHDRAWN, "image_id": None}
    await connection.execute(update(candidates).where(its).values(values))
