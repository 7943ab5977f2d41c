"""`pixcrawler credits` and `usage`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated
from uuid import UUID

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.cli.access import AsJson, Most, User, query_for
from pixcrawler.cli.display import console, in_json, table, tell
from pixcrawler.db import accounts
from pixcrawler.db import usage as used
from pixcrawler.db.accounts import Account, Transaction


def credits_(most: Most = 20, user: User = None, as_json: AsJson = False) -> None:
    """Show the credits there are, and how they became that; each image of a dataset takes one."""

    async def read(connection: AsyncConnection, owner: UUID) -> tuple[Account, Sequence[Transaction]]:
        account = await accounts.account(connection, owner)
        return account, await accounts.transactions(connection, owner, None, most)

    account, transactions = query_for(user, read)
    transactions = transactions[:most]
    if as_json:
        found = {**asdict(account), "transactions": [asdict(each) for each in transactions]}
        typer.echo(json.dumps(found, default=in_json, indent=2))
        return
    typer.echo(
        f"{account.current_balance:,} credits, {account.held:,} more held for jobs at work; "
        f"{account.monthly_usage:,} used this month"
    )
    columns = ("when", "type", "amount", "balance", "job", "status", "what for")
    rows = [
        (t.created_at, t.type, t.amount, t.balance_after, t.crawl_job_id, t.status, t.description) for t in transactions
    ]
    console.print(table("", *columns, rows=rows))


def usage(
    days: Annotated[int, typer.Option(min=1, max=100, help="How many; those without any are left out.")] = 30,
    user: User = None,
    as_json: AsJson = False,
) -> None:
    """Show what was used, by day, the newest first."""
    rows = query_for(user, lambda connection, owner: used.days(connection, owner, days))
    tell(
        rows,
        *("day", "images", "of", "requests", "of", "GB stored", "of"),
        as_json=as_json,
        row=lambda d: (
            *(d.day, d.images_processed, d.images_limit, d.api_calls, d.api_calls_limit),
            *(d.storage_used_gb, d.storage_limit_gb),
        ),
    )
