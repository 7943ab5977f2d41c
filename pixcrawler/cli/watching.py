"""Watches a job until it has ended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.live import Live

from pixcrawler.cli.access import no_job
from pixcrawler.cli.display import as_data, console, in_json, live, progress_line
from pixcrawler.db.engine import create, transaction
from pixcrawler.db.overview import Overview, overview

POLL_SECONDS = 1.0  # the dispatcher does not tell more often
Show = Callable[[Overview], None]


async def watch(url: str, job: int, *, as_json: bool = False) -> Overview:
    """Shows a job once a second; returns how it ended. Raises `UsageError` if it is not there (any more)."""
    engine = create(url, application_name="pixcrawler watch", pool_size=1)
    try:
        with _changes_as_json() if as_json else _screen() as show:
            while True:
                async with transaction(engine) as connection:
                    seen = await overview(connection, job)
                if seen is None:
                    raise no_job(job)
                show(seen)
                if seen.job.over:
                    return seen
                await asyncio.sleep(POLL_SECONDS)
    finally:
        await engine.dispose()


@contextmanager
def _screen() -> Iterator[Show]:
    if not console.is_terminal:
        yield _changes(progress_line)
        return
    with Live(console=console, auto_refresh=False) as screen:
        yield lambda seen: screen.update(live(seen), refresh=True)


@contextmanager
def _changes_as_json() -> Iterator[Show]:
    yield _changes(lambda seen: json.dumps(as_data(seen), default=in_json))


def _changes(tell: Callable[[Overview], str]) -> Show:
    last = ""

    def show(seen: Overview) -> None:
        nonlocal last
        if (now := tell(seen)) != last:
            typer.echo(now)
            last = now

    return show
