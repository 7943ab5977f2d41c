"""One question to the database from a thread that has no loop: a connection for it, and none in between."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db.engine import create, transaction
from pixcrawler.errors import DatabaseUnavailable

T = TypeVar("T")

ANSWER_SECONDS = 5.0  # a good answer takes hundredths


def ask(url: str, question: Callable[[AsyncConnection], Awaitable[T]], application_name: str) -> T:
    """The answer, in a transaction. Blocks; raises `DatabaseUnavailable` if there is none in time."""
    factory = asyncio.SelectorEventLoop if sys.platform == "win32" else None  # psycopg works on no other there
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(_in_transaction(url, question, application_name))


async def _in_transaction(url: str, question: Callable[[AsyncConnection], Awaitable[T]], application_name: str) -> T:
    engine = create(url, application_name=application_name, pool_size=1)
    try:
        async with asyncio.timeout(ANSWER_SECONDS), transaction(engine) as connection:
            return await question(connection)
    except TimeoutError:
        raise DatabaseUnavailable(f"the database did not answer within {ANSWER_SECONDS:g} seconds") from None
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", error)).strip().partition("\n")[0]
        raise DatabaseUnavailable(f"the database answered: {cause}") from None
    finally:
        await engine.dispose()
