"""How commands reach the database."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Annotated, Any, TypeVar

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.config import config
from pixcrawler.db.check import require
from pixcrawler.db.embedded import database
from pixcrawler.db.engine import create, transaction
from pixcrawler.services import calm_exit

Value = TypeVar("Value")

JobId = Annotated[int, typer.Argument(metavar="ID", min=1, max=2**31 - 1, help="The job's number.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


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


async def in_transaction(url: str, work: Callable[[AsyncConnection], Awaitable[Value]]) -> Value:
    """Does something in one transaction of the database at `url`."""
    engine = create(url, application_name="pixcrawler cli", pool_size=1)
    try:
        async with transaction(engine) as connection:
            return await work(connection)
    finally:
        await engine.dispose()
