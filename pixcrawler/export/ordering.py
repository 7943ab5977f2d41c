"""What people ask of an ended job: a dataset file of some kind, or that its dataset moves to another tier.

What is there is taken. What is not becomes a row like those that jobs wait for, and an exporter builds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db import exports, jobs, retiring
from pixcrawler.errors import ExportFailed
from pixcrawler.jobs import (
    TERMINAL_JOBS,
    UNFINISHED_EXPORTS,
    ExportFormat,
    ExportState,
    JobState,
    Tier,
    kind_in,
)

DONE = [ExportState.DONE]


async def ask(connection: AsyncConnection, job_id: int, kind: ExportFormat, options: Mapping[str, Any]) -> Any:
    """The newest finished export with these options, or one that is to be built now.

    Of a job that is at work again it may be of an earlier version. Raises `ExportFailed` if there can be none.
    """
    job = await jobs.lock(connection, job_id)
    if job is not None and job.state not in TERMINAL_JOBS:
        earlier = await exports.newest(connection, job_id, kind, options, DONE)
        if earlier is not None:
            return earlier
    _require_ended(job_id, job)
    states = [*DONE, *UNFINISHED_EXPORTS]
    known = await exports.newest(connection, job_id, kind, options, states, generation=job.generation)
    return known or await exports.get(connection, await exports.create(connection, job, kind, options))


async def ask_move(connection: AsyncConnection, job_id: int, tier: Tier) -> Any:
    """The export by which a job's dataset comes to a tier. If it is there, the others are given up at once."""
    job = await jobs.lock(connection, job_id)
    _require_ended(job_id, job)
    about = (connection, job_id, kind_in(tier), job.options.get("export") or {})
    done = await exports.newest(*about, DONE, generation=job.generation)
    if done is not None:
        await retiring.leave(connection, done)
        return done
    asked = await exports.newest(*about, UNFINISHED_EXPORTS, generation=job.generation)
    if asked is not None and asked.moves:
        return asked
    return await exports.get(connection, await exports.create(connection, job, *about[2:], moves=True))


def _require_ended(job_id: int, job: Any) -> None:
    if job is None or job.state == JobState.PENDING:
        raise ExportFailed(f"job {job_id} has not begun: there is nothing to export")
    if job.state not in TERMINAL_JOBS:
        raise ExportFailed(f"job {job_id} is {job.state}: its dataset is there when it has ended")
    if not job.kept:
        raise ExportFailed(f"job {job_id} has kept no image: there is nothing to export")
