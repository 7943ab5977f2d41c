"""How commands reach the database."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Annotated, Any, TypeVar
from uuid import UUID

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.config import config
from pixcrawler.db import profiles
from pixcrawler.db.check import require
from pixcrawler.db.embedded import database
from pixcrawler.db.engine import create, transaction
from pixcrawler.errors import UsageError
from pixcrawler.services import calm_exit

Value = TypeVar("Value")

JobId = Annotated[int, typer.Argument(metavar="ID", min=1, max=2**31 - 1, help="The job's number.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
User = Annotated[
    str | None, typer.Option(metavar="MAIL", help="Whose; in a database of our own it is the local user's.")
]
Most = Annotated[int, typer.Option("--limit", min=1, help="How many at most, the newest first.")]


def run(work: Coroutine[Any, Any, Value]) -> Value:
    """Like `asyncio.run`, on a loop that psycopg works on."""
    factory = asyncio.SelectorEventLoop if sys.platform == "win32" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)


def query(work: Callable[[AsyncConnection], Awaitable[Value]]) -> Value:
    """Does something in one transaction of the configured database, or of the embedded one."""
    with calm_exit(database(config())) as url:
        run(in_transaction(url, require))
        return run(in_transaction(url, work))


def query_for(user: str | None, work: Callable[[AsyncConnection, UUID], Awaitable[Value]]) -> Value:
    """Does something for a user in one transaction. Raises `UsageError` if it is not clear for whom."""

    async def for_them(connection: AsyncConnection) -> Value:
        return await work(connection, await _who(connection, user))

    return query(for_them)


async def _who(connection: AsyncConnection, user: str | None) -> UUID:
    if user is not None:
        found = await profiles.find(connection, user)
        if found is None:
            raise UsageError(f"user: nobody here has the address {user}")
        return found
    local = await profiles.local_user(connection)
    if local is None:
        raise UsageError("user: this database has users of its own; say whose with --user MAIL")
    return local


def no_job(job: int) -> UsageError:
    """What is said of a job that is not there."""
    return UsageError(f"there is no job {job}; see: pixcrawler jobs list")


async def in_transaction(url: str, work: Callable[[AsyncConnection], Awaitable[Value]]) -> Value:
    """Does something in one transaction of the database at `url`."""
    engine = create(url, application_name="pixcrawler cli", pool_size=1)
    try:
        async with transaction(engine) as connection:
            return await work(connection)
    finally:
        await engine.dispose()
