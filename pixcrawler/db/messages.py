"""Statements on `public.notifications` and `public.activity_logs`: what the owner is told."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import Column, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db import outbox
from pixcrawler.db.crawler import jobs
from pixcrawler.db.public import activity_logs, notification_preferences, notifications
from pixcrawler.jobs import Channel, JobState

# How the front end shows each end: type, title, icon (Lucide), colour, action.
LOOKS = {
    JobState.COMPLETED: ("success", "Crawl Job Completed", "circle-check-big", "green", "COMPLETE_CRAWL_JOB"),
    JobState.FAILED: ("error", "Crawl Job Failed", "circle-x", "red", "FAIL_CRAWL_JOB"),
    JobState.CANCELLED: ("info", "Crawl Job Cancelled", "circle-slash", "gray", "CANCEL_CRAWL_JOB"),
}


async def tell_end(
    connection: AsyncConnection,
    *,
    owner: UUID,
    job: int,
    project_id: int | None,
    state: JobState,
    message: str,
    channels: Collection[Channel],
) -> None:
    """Tells the owner how a job ended, and logs it."""
    type_, title, icon, color, action = LOOKS[state]
    row = {
        "type": type_,
        "category": "crawl_job",
        "title": title,
        "message": message,
        "icon": icon,
        "color": color,
        "metadata": {"crawl_job_id": job, "trace": await _trace(connection, job)},
    }
    if project_id is not None:
        row |= {"action_url": f"/dashboard/projects/{project_id}", "action_label": "View Project"}
    await _tell(connection, owner, row, notification_preferences.c.crawl_jobs_enabled, channels)
    await log(connection, owner, job, action, {"message": message})


async def _trace(connection: AsyncConnection, job: int) -> str | None:
    trace: str | None = await connection.scalar(select(jobs.c.trace).where(jobs.c.id == job))
    return trace


async def tell_withdrawn(
    connection: AsyncConnection, *, job: Any, pictures: int, reason: str, channels: Collection[Channel]
) -> None:
    """Tells a job's owner that pictures of it were taken back, and logs it."""
    message = f"“{job.name}”: {pictures} images were taken back and are not in its datasets any more: {reason}"
    row = {
        "type": "warning",
        "category": "crawl_job",
        "title": "Images Withdrawn",
        "message": message,
        "icon": "image-off",
        "color": "yellow",
        "metadata": {"crawl_job_id": job.id, "images": pictures, "trace": job.trace},
    }
    if job.project_id is not None:
        row |= {"action_url": f"/dashboard/projects/{job.project_id}", "action_label": "View Project"}
    await _tell(connection, job.owner, row, notification_preferences.c.crawl_jobs_enabled, channels)
    await log(connection, job.owner, job.id, "WITHDRAW_IMAGES", {"message": message})


async def tell_low_balance(
    connection: AsyncConnection, *, owner: UUID, left: int, channels: Collection[Channel]
) -> None:
    """Tells the owner that there are few credits left."""
    row = {
        "type": "warning",
        "category": "payment",
        "title": "Low Balance",
        "message": f"{left:,} credits are left: each image of a dataset takes one",
        "icon": "coins",
        "color": "yellow",
        "metadata": {"credits": left},
    }
    await _tell(connection, owner, row, notification_preferences.c.billing_enabled, channels)


async def _tell(
    connection: AsyncConnection,
    owner: UUID,
    row: dict[str, Any],
    preference: Column[bool],
    channels: Collection[Channel],
) -> None:
    """Unless the owner does not want to hear of this: a notification, and what leaves the house of it."""
    if await connection.scalar(select(preference).where(notification_preferences.c.user_id == owner)) is False:
        return
    added = insert(notifications).values(user_id=owner, **row).returning(notifications.c.id)
    number = (await connection.execute(added)).scalar_one()
    await outbox.post(connection, owner=owner, channels=channels, message={"id": number, **row})


async def log(
    connection: AsyncConnection,
    owner: UUID | None,
    number: int,
    action: str,
    details: dict[str, Any],
    resource: str = "crawl_job",
) -> None:
    """Adds a line to the activity log, about the job or other `resource` of this number."""
    row = {
        "user_id": owner,
        "action": action,
        "resource_type": resource,
        "resource_id": str(number),
        "metadata": details,
    }
    await connection.execute(insert(activity_logs).values(row))
