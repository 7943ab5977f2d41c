"""What an owner's credits allow: statements on `public.credit_accounts`, which read it only."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import ColumnElement, Subquery, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db.crawler import jobs
from pixcrawler.db.public import credit_accounts, profiles
from pixcrawler.jobs import TERMINAL_JOBS, JobState

AT_WORK = frozenset(JobState) - TERMINAL_JOBS - {JobState.PENDING}


async def may_start(connection: AsyncConnection, owner: UUID, jobs_by_credits: Mapping[int, int]) -> bool:
    """Whether one more job of this owner may run."""
    rooms = room(jobs_by_credits)
    free = await connection.scalar(select(rooms.c.jobs).where(rooms.c.owner == owner))
    return free is not None and free > 0


def room(jobs_by_credits: Mapping[int, int]) -> Subquery:
    """How many more `jobs` of each `owner` may run; fewer than none after a limit was lowered."""
    running = (
        select(jobs.c.owner, func.count().label("number"))
        .where(jobs.c.state.in_(AT_WORK))
        .group_by(jobs.c.owner)
        .subquery("running")
    )
    left = _limit(jobs_by_credits) - func.coalesce(running.c.number, 0)
    return (
        select(profiles.c.id.label("owner"), left.label("jobs"))
        .outerjoin(credit_accounts, credit_accounts.c.user_id == profiles.c.id)
        .outerjoin(running, running.c.owner == profiles.c.id)
        .subquery("room")
    )


def _limit(jobs_by_credits: Mapping[int, int]) -> ColumnElement[int]:
    """The limit of the highest step that the balance reaches; without an account, of 0 credits."""
    balance = func.coalesce(credit_accounts.c.current_balance, 0)
    steps = sorted(jobs_by_credits.items(), reverse=True)
    return case(*((balance >= least, limit) for least, limit in steps), else_=0)
