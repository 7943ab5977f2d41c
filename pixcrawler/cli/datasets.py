"""`pixcrawler export`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.cli.access import JobId, query, run
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
