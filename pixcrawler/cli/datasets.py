"""`pixcrawler export` and `pixcrawler sources`."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.cli.access import AsJson, JobId, query, run
from pixcrawler.cli.display import console
from pixcrawler.config import config
from pixcrawler.db import overview
from pixcrawler.errors import StorageFailed, UsageError
from pixcrawler.storage import open_storage


def export(
    job: JobId,
    format: Annotated[Literal["zip"], typer.Option(help="The kind of dataset file.")] = "zip",  # noqa: A002 its name
    out: Annotated[Path, typer.Option(help="The folder to put it in.", file_okay=False)] = Path(),
) -> None:
    """Copy a job's finished dataset out of storage; exit 1 if there is none yet."""
    found = query(lambda connection: _dataset(connection, job, format))
    if found is None or found.key is None:
        typer.echo(f"pixcrawler: job {job} has no finished {format} yet", err=True)
        raise typer.Exit(1)
    out.mkdir(parents=True, exist_ok=True)
    copy = out / f"job-{job}.{format}"
    run(open_storage(config()).fetch_file(found.key, copy))
    with copy.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != found.sha256:
            raise StorageFailed(f"{copy}: not the file that was packed; its bytes have changed in storage")
    typer.echo(copy)


async def _dataset(connection: AsyncConnection, job: int, kind: str) -> overview.Export | None:
    if not await overview.job_exists(connection, job):
        raise UsageError(f"there is no job {job}")
    return await overview.dataset(connection, job, kind)


def sources(as_json: AsJson = False) -> None:
    """List the sources that can be crawled."""
    from scrapy.settings import Settings
    from scrapy.spiderloader import SpiderLoader

    loader = SpiderLoader.from_settings(Settings({"SPIDER_MODULES": ["pixcrawler.spiders"]}))
    found = {name: _description(loader.load(name)) for name in sorted(loader.list())}
    if as_json:
        typer.echo(json.dumps([{"name": name, "description": text} for name, text in found.items()], indent=2))
        return
    table = Table("source", "what it is", box=None)
    for name, text in found.items():
        table.add_row(name, text)
    console.print(table)


def _description(spider: type) -> str:
    """The first line of its file."""
    return (sys.modules[spider.__module__].__doc__ or "").strip().partition("\n")[0]
