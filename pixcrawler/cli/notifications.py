"""`pixcrawler notifications …`"""

from __future__ import annotations

import json
from typing import Annotated
from uuid import UUID

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.cli.access import AsJson, Most, User, query_for
from pixcrawler.cli.display import tell
from pixcrawler.db import notifications
from pixcrawler.errors import UsageError

app = typer.Typer(name="notifications", help="What users were told.", no_args_is_help=True)

Numbers = Annotated[list[int] | None, typer.Argument(metavar="ID…", min=1, max=2**31 - 1, help="Their numbers.")]


@app.command(name="list")
def list_(
    unread: Annotated[bool, typer.Option("--unread", help="Only those that were not read.")] = False,
    most: Most = 20,
    user: User = None,
    as_json: AsJson = False,
) -> None:
    """List notifications, the newest first."""
    rows = query_for(user, lambda connection, owner: notifications.page(connection, owner, None, most, unread=unread))
    columns = ("number", "when", "", "title", "message")
    tell(
        rows[:most],
        *columns,
        as_json=as_json,
        row=lambda n: (n.id, n.created_at, "" if n.is_read else "new", n.title, n.message),
    )


@app.command()
def read(
    numbers: Numbers = None,
    all_: Annotated[bool, typer.Option("--all", help="All there are.")] = False,
    unread: Annotated[bool, typer.Option("--unread", help="Mark them as unread.")] = False,
    user: User = None,
    as_json: AsJson = False,
) -> None:
    """Mark notifications as read."""
    if bool(numbers) is all_ or (all_ and unread):
        raise UsageError("say which: pixcrawler notifications read ID…, or --all")

    async def mark(connection: AsyncConnection, owner: UUID) -> int:
        if all_:
            return await notifications.mark_all(connection, owner)
        for number in numbers or []:
            if await notifications.mark(connection, number, owner, is_read=not unread) is None:
                raise UsageError(f"there is no notification {number}; see: pixcrawler notifications list")
        return len(numbers or [])

    marked = query_for(user, mark)
    word = "unread" if unread else "read"
    typer.echo(json.dumps({"marked": marked}) if as_json else f"{marked} are marked as {word}")
