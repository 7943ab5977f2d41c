"""What an owner's credits allow: statements on `public.credit_accounts`, which read it only."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db.crawler import jobs
from pixcrawler.db.public import credit_accounts
from pixcrawler.jobs import JOBS_AT_WORK


async def may_start(connection: AsyncConnection, owner: UUID, jobs_by_credits: Mapping[int, int]) -> bool:
    """Whether one more job of this owner may run."""
    balance = select(credit_accounts.c.current_balance).where(credit_accounts.c.user_id == owner).scalar_subquery()
    running = select(func.count()).where(jobs.c.owner == owner, jobs.c.state.in_(JOBS_AT_WORK)).scalar_subquery()
    return bool(await connection.scalar(select(running < limit(balance, jobs_by_credits))))


def limit(balance: ColumnElement[int], jobs_by_credits: Mapping[int, int]) -> ColumnElement[int]:
    """How many jobs may run at once: what the highest step allows that `balance` reaches. No account is 0 credits."""
    steps = sorted(jobs_by_credits.items(), reverse=True)
    return case(*((func.coalesce(balance, 0) >= least, number) for least, number in steps), else_=0)
