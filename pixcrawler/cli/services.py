"""`pixcrawler up`, `demo`, `dispatcher`, `exporter` and `api`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Annotated, Any

import typer

from pixcrawler import faults, logs
from pixcrawler.cli.access import in_transaction, run
from pixcrawler.cli.display import console, funnel_table
from pixcrawler.cli.watching import watch
from pixcrawler.config import Config, config
from pixcrawler.db.check import require
from pixcrawler.db.embedded import database
from pixcrawler.exposition import serving
from pixcrawler.services import calm_exit, local_parts, serve, supervise

Service = Callable[[str, Config, asyncio.Event], Coroutine[Any, Any, None]]


def up() -> None:
    """Run everything on this machine: a database if DATABASE_URL is unset, Scrapyd, dispatcher, exporter and API."""
    settings = config()
    logs.to_stderr(settings)
    folder = settings.data_dir / "logs"

    async def announce_and_wait() -> None:
        typer.echo(
            f"PixCrawler runs at http://{settings.host}:{settings.port}, its API at /docs there, Scrapyd at "
            f"{settings.nodes[0].url}, logs in {folder}; Ctrl-C stops it"
        )
        await asyncio.Event().wait()

    with calm_exit(database(settings)) as url, suppress(KeyboardInterrupt):
        run(in_transaction(url, require))
        if settings.database_url is None:
            typer.echo(f"The database is at {url}")
        asyncio.run(supervise(local_parts(settings, url, {}), folder, announce_and_wait))


def demo(
    sources: Annotated[
        str, typer.Option(help="Whose replicas to crawl, separated by commas; else one of all kinds.")
    ] = "",
) -> None:
    """Make a dataset from a source on this machine, without any network."""
    from pixcrawler.demo.run import make_dataset, replicas_of

    replicas = replicas_of([name.strip() for name in sources.split(",") if name.strip()])
    typer.echo("Starting a database, Scrapyd, a dispatcher, an exporter and a source full of pictures …")
    made = make_dataset(config(), watch, replicas)
    if not console.is_terminal:  # else it stands there already
        console.print(funnel_table(made.seen.funnel))
    if made.archive is None:
        raise typer.Exit(1)
    typer.echo(f"The dataset:       {made.archive}\nWhat was kept:     {made.contact_sheet}")


def dispatcher() -> None:
    """Turn jobs into crawls, and send mails and webhooks if they are set up, until stopped."""
    from pixcrawler.dispatcher import run as dispatch
    from pixcrawler.outbox import run as send
    from pixcrawler.sources import catalogue

    _run_service(_together(partial(dispatch, catalogue=catalogue()), send))


def exporter() -> None:
    """Pack the datasets of crawled jobs, until stopped."""
    from pixcrawler.export.loop import run as pack

    _run_service(pack)


def api() -> None:
    """Serve the REST API at HOST and PORT, until stopped."""
    from pixcrawler.api.service import run as answer
    from pixcrawler.sources import catalogue, descriptions

    _run_service(partial(answer, catalogue=catalogue(), descriptions=descriptions()))


def _together(*services: Service) -> Service:
    """Services in one process: the first that fails ends the others, and its error is raised."""

    async def service(url: str, settings: Config, stop: asyncio.Event) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for one in services:
                    group.create_task(one(url, settings, stop))
        except BaseExceptionGroup as failures:
            raise _first(failures) from None

    return service


def _first(failure: BaseException) -> BaseException:
    return _first(failure.exceptions[0]) if isinstance(failure, BaseExceptionGroup) else failure


def _run_service(service: Service) -> None:
    settings = config()
    faults.arm()
    logs.to_stderr(settings)
    with calm_exit(database(settings)) as url, serving(settings, url):
        run(serve(lambda stop: service(url, settings, stop)))
