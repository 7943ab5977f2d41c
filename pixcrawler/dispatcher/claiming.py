"""Claim: a pending row of the front end becomes a job of ours, or fails with a reason."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pixcrawler.config import Config
from pixcrawler.db import accounts, crawl_jobs, jobs, locks, messages
from pixcrawler.db.engine import transaction
from pixcrawler.dispatcher.steps import for_each
from pixcrawler.errors import UsageError
from pixcrawler.jobs import JobState, parse_keywords, parse_max_images
from pixcrawler.orders import parse_options
from pixcrawler.terms import Catalogue

AT_ONCE = 50  # rows looked at in one tick


async def claim_pending(engine: AsyncEngine, config: Config, catalogue: Catalogue) -> None:
    """Claims what is pending, each job in a transaction of its own: a bad row hurts no other.

    Dispatchers that claimed at the same time would work on the same rows, and all but one in vain.
    """

    async def claim(connection: AsyncConnection, row: Any) -> None:
        async with connection.begin_nested() as attempt:
            if not await _claim(connection, config, catalogue, row):
                await attempt.rollback()

    async with transaction(engine) as connection:
        if await locks.try_take(connection, "claiming"):
            rows = await crawl_jobs.pending(connection, AT_ONCE, config.jobs_by_credits)
            await for_each(engine, rows, claim, "dispatcher.claimed")


async def _claim(connection: AsyncConnection, config: Config, catalogue: Catalogue, row: Any) -> bool:
    """False: nothing of it shall stay, for the row is not to be had: not any more, or not yet."""
    try:
        if row.owner is None:
            raise UsageError("the job belongs to no project")
        keywords = parse_keywords(row.keywords)
        requested = parse_max_images(row.max_images)
        given = row.options or {}
        options = {**given, **parse_options(catalogue, config, given)}
    except UsageError as error:
        return await _refuse(connection, config, row, str(error))
    await locks.take(connection, f"owner:{row.owner}")
    funds = await accounts.of(connection, row.owner)
    if not funds.total:
        return await _refuse(connection, config, row, "no credits are left")
    if not (funds.balance and await accounts.may_start(connection, row.owner, funds, config.jobs_by_credits)):
        return False
    claimed = await jobs.claim(
        connection,
        row.id,
        owner=row.owner,
        project_id=row.project_id,
        name=row.name,
        keywords=keywords,
        requested=requested,
        options=options,
        deadline_seconds=config.deadline_seconds,
    )
    if not (claimed and await crawl_jobs.start(connection, row.id)):
        return False
    asked = await jobs.hold_credits(connection, row.id, row.owner, requested, row.name)
    if not asked:
        return False
    await messages.log(connection, row.owner, row.id, "START_CRAWL_JOB", {"keywords": keywords, "asked": asked})
    return True


async def _refuse(connection: AsyncConnection, config: Config, row: Any, reason: str) -> bool:
    refused = await jobs.refuse(connection, row.id, row.owner, reason)
    if not (refused and await crawl_jobs.is_wanted(connection, row.id)):
        return False
    if row.owner is not None:
        await messages.tell_end(
            connection,
            owner=row.owner,
            job=row.id,
            project_id=row.project_id,
            state=JobState.FAILED,
            message=f"“{row.name}” cannot be crawled: {reason}",
            channels=config.channels,
        )
    await crawl_jobs.project(connection, row.id)
    return True
