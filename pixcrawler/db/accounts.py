"""What an owner's credits allow, and what becomes of them: `public.credit_accounts` and `credit_transactions`.

Of a job's images so many are held at once as one pending `usage`; when the job ends it is completed, and a `refund`
gives back what was not kept. So the transactions of an account always sum to its balance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, ScalarSelect, case, func, insert, literal, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db.crawler import jobs
from pixcrawler.db.paging import newest_first
from pixcrawler.db.public import credit_accounts, credit_transactions
from pixcrawler.jobs import JOBS_AT_WORK

HOLD = text("""
    UPDATE public.credit_accounts a SET current_balance = a.current_balance - paid.amount, updated_at = now()
    FROM (
        SELECT id, least(current_balance, :wanted) AS amount FROM public.credit_accounts
        WHERE user_id = :owner AND current_balance > 0 FOR UPDATE
    ) paid
    WHERE a.id = paid.id
    RETURNING a.id, paid.amount, a.current_balance AS balance
""")
USED = "(SELECT coalesce(sum(images_processed), 0) FROM public.usage_metrics WHERE user_id = :owner AND metric_date {})"
REFRESH = text(f"""
    UPDATE public.credit_accounts SET current_balance = current_balance + :refund, updated_at = now(),
        monthly_usage = {USED.format(">= date_trunc('month', now())")},
        average_daily_usage = {USED.format("> now() - interval '30 days'")} / 30.0
    WHERE id = :account
    RETURNING current_balance
""")  # noqa: S608  # our own words


@dataclass(frozen=True, slots=True)
class Funds:
    """What an owner has: free to be spent, and held for jobs at work."""

    balance: int
    held: int

    @property
    def total(self) -> int:
        return self.balance + self.held


@dataclass(frozen=True, slots=True)
class Account:
    """What an owner has and has used lately."""

    current_balance: int
    held: int  # for jobs at work
    monthly_usage: int
    average_daily_usage: float
    monthly_limit: int


@dataclass(frozen=True, slots=True)
class Transaction:
    """A change of a balance."""

    id: UUID
    type: str  # purchase, usage, refund, bonus
    description: str
    amount: int  # negative: usage
    balance_after: int
    status: str  # completed, pending, failed, cancelled
    crawl_job_id: int | None
    created_at: datetime


def held(owner: ColumnElement[Any]) -> ScalarSelect[Any]:
    """The credits held for the jobs of an owner that are at work."""
    other = jobs.alias()
    number = func.coalesce(func.sum(other.c.asked - other.c.charged), 0)
    ours = select(number).where(other.c.owner == owner, other.c.state.in_(JOBS_AT_WORK), other.c.hold.is_not(None))
    return ours.scalar_subquery()


def limit(funds: ColumnElement[int], jobs_by_credits: Mapping[int, int]) -> ColumnElement[int]:
    """How many jobs may run at once: what the highest step allows that `funds`, held credits too, reach."""
    steps = sorted(jobs_by_credits.items(), reverse=True)
    return case(*((funds >= least, number) for least, number in steps), else_=0)


async def of(connection: AsyncConnection, owner: UUID) -> Funds:
    """The credits of an owner; none without an account."""
    statement = select(credit_accounts.c.current_balance, held(credit_accounts.c.user_id))
    row = (await connection.execute(statement.where(credit_accounts.c.user_id == owner))).one_or_none()
    return Funds(*row) if row else Funds(0, 0)


async def account(connection: AsyncConnection, owner: UUID) -> Account:
    """An owner's account; empty without one."""
    columns = credit_accounts.c["current_balance", "monthly_usage", "average_daily_usage", "monthly_limit"]
    statement = select(*columns, held(credit_accounts.c.user_id).label("held"))
    row = (await connection.execute(statement.where(credit_accounts.c.user_id == owner))).one_or_none()
    return Account(**row._mapping) if row else Account(0, 0, 0, 0, 0)


async def transactions(
    connection: AsyncConnection, owner: UUID, after: Sequence[Any] | None, limit: int
) -> list[Transaction]:
    """The newest transactions of an owner after a place, one more than `limit` if there are."""
    columns = credit_transactions.c["id", "type", "description", "amount", "balance_after", "status", "created_at"]
    job = credit_transactions.c.metadata["crawl_job_id"].as_integer().label("crawl_job_id")
    mine = select(*columns, job).where(credit_transactions.c.user_id == owner)
    key = [credit_transactions.c.created_at, credit_transactions.c.id]
    rows = await connection.execute(newest_first(mine, key, after, limit))
    return [Transaction(**row._mapping) for row in rows]


async def may_start(connection: AsyncConnection, owner: UUID, funds: Funds, jobs_by_credits: Mapping[int, int]) -> bool:
    """Whether one more job of this owner may run."""
    running = select(func.count()).where(jobs.c.owner == owner, jobs.c.state.in_(JOBS_AT_WORK)).scalar_subquery()
    allowed = limit(literal(funds.total), jobs_by_credits)
    return bool(await connection.scalar(select(running < allowed)))


async def hold(connection: AsyncConnection, job: int, owner: UUID, wanted: int, name: str) -> tuple[int, UUID | None]:
    """Takes up to `wanted` credits from the balance until the job is settled: how many, and the transaction."""
    taken = (await connection.execute(HOLD, {"owner": owner, "wanted": wanted})).one_or_none() if wanted else None
    if taken is None:
        return 0, None
    row = {
        "account_id": taken.id,
        "user_id": owner,
        "type": "usage",
        "status": "pending",
        "description": f"Images of “{name}”",
        "amount": -taken.amount,
        "balance_after": taken.balance,
        "metadata": {"crawl_job_id": job},
    }
    added = insert(credit_transactions).values(row).returning(credit_transactions.c.id)
    return taken.amount, (await connection.execute(added)).scalar_one()


async def lock(connection: AsyncConnection, owner: UUID) -> Any:
    """An account (id, refill_threshold), locked until the end of the transaction. None: there is none."""
    account = select(*credit_accounts.c["id", "refill_threshold"]).where(credit_accounts.c.user_id == owner)
    return (await connection.execute(account.with_for_update())).one_or_none()


async def complete(connection: AsyncConnection, transaction: UUID) -> int:
    """Books what was held as used. Returns how much it was; 0 if that is not open any more."""
    pending = (credit_transactions.c.id == transaction) & (credit_transactions.c.status == "pending")
    statement = update(credit_transactions).where(pending).values(status="completed")
    amount = await connection.scalar(statement.returning(credit_transactions.c.amount))
    return -(amount or 0)


async def give_back(
    connection: AsyncConnection, account: UUID, owner: UUID, job: Any, refund: int, *, why: str = "not kept"
) -> int:
    """Adds `refund` credits to a locked account, and the usage of this month and day. Returns the balance."""
    about = {"account": account, "owner": owner, "refund": refund}
    balance: int = (await connection.execute(REFRESH, about)).scalar_one()
    if refund:
        row = {
            "account_id": account,
            "user_id": owner,
            "type": "refund",
            "description": f"Images of “{job.name}” that were {why}",
            "amount": refund,
            "balance_after": balance,
            "metadata": {"crawl_job_id": job.id},
        }
        await connection.execute(insert(credit_transactions).values(row))
    return balance
