"""Statements on `public.notifications` and `public.activity_logs`: what the owner is told."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db.public import activity_logs, notifications
from pixcrawler.jobs import JobState

# How the front end shows each end: type, title, icon (Lucide), colour, action.
LOOKS = {
    JobState.COMPLETED: ("success", "Crawl Job Completed", "circle-check-big", "green", "COMPLETE_CRAWL_JOB"),
    JobState.FAILED: ("error", "Crawl Job Failed", "circle-x", "red", "FAIL_CRAWL_JOB"),
    JobState.CANCELLED: ("info", "Crawl Job Cancelled", "circle-slash", "gray", "CANCEL_CRAWL_JOB"),
}


async def tell_end(
    connection: AsyncConnection, *, owner: UUID, job: int, project_id: int | None, state: JobState, message: str
) -> None:
    """Tells the owner how a job ended, and logs it."""
    type_, title, icon, color, action = LOOKS[state]
    row = {
        "user_id": owner,
        "type": type_,
        "category": "crawl_job",
        "title": title,
        "message": message,
        "icon": icon,
        "color": color,
        "metadata": {"crawl_job_id": job},
    }
    if project_id is not None:
        row |= {"action_url": f"/dashboard/projects/{project_id}", "action_label": "View Project"}
    await connection.execute(insert(notifications).values(row))
    await log(connection, owner, job, action, {"message": message})


async def log(connection: AsyncConnection, owner: UUID | None, job: int, action: str, details: dict[str, Any]) -> None:
    """Adds a line to the activity log."""
    row = {
        "user_id": owner,
        "action": action,
        "resource_type": "crawl_job",
        "resource_id": str(job),
        "metadata": details,
    }
    await connection.execute(insert(activity_logs).values(row))
