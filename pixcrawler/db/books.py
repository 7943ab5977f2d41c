"""The books of a job: what is taken from its owner's credits when it begins, and settled when it ends."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import ScalarSelect, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db import accounts, messages, usage
from pixcrawler.db.crawler import jobs
from pixcrawler.db.public import images
from pixcrawler.jobs import TERMINAL_JOBS, Channel


async def settle(connection: AsyncConnection, job: Any, channels: Collection[Channel]) -> None:
    """Charges what a locked job has kept since it was charged last, refunds the rest of its hold, adds up its usage.

    An owner whose account is gone is not charged.
    """
    kept = job.kept - job.charged
    settled = {"charged": job.kept, "hold": None, "bytes": _stored(job)}
    await connection.execute(update(jobs).where(jobs.c.id == job.id).values(settled))
    account = await accounts.lock(connection, job.owner) if job.owner is not None else None
    if account is None:
        return
    used = await accounts.complete(connection, job.hold) if job.hold is not None else kept
    if kept:
        await usage.add(connection, job.owner, kept)
    balance = await accounts.give_back(connection, account.id, job.owner, job, max(used - kept, 0))
    left = balance + (await accounts.of(connection, job.owner)).held
    if left < account.refill_threshold <= left + kept:
        await messages.tell_low_balance(connection, owner=job.owner, left=left, channels=channels)


async def take_back(connection: AsyncConnection, job: Any, number: int) -> None:
    """Uncounts pictures of a locked job that are gone, and refunds what was charged of them.

    A job at work looks for others; but what it was charged for in an earlier generation is not held any more.
    """
    ended = job.state in TERMINAL_JOBS
    refund = max(job.charged - (job.kept - number), 0)
    left = {"kept": job.kept - number, "withdrawn": job.withdrawn + number, "charged": job.charged - refund}
    left |= {"bytes": _stored(job)} if ended else {"asked": job.asked - refund}
    await connection.execute(update(jobs).where(jobs.c.id == job.id).values(left))
    account = await accounts.lock(connection, job.owner) if job.owner is not None else None
    if account is not None and refund:
        await accounts.give_back(connection, account.id, job.owner, job, refund, why="withdrawn")


def _stored(job: Any) -> ScalarSelect[Any]:
    """The bytes of a job's pictures."""
    total = select(func.coalesce(func.sum(images.c.file_size), 0))
    return total.where(images.c.crawl_job_id == job.id, images.c.is_duplicate.is_(False)).scalar_subquery()
