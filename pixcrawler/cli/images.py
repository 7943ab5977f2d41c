"""`pixcrawler jobs images`."""

from __future__ import annotations

from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.cli.access import AsJson, JobId, Most, no_job, query
from pixcrawler.cli.display import tell
from pixcrawler.db import images as kept
from pixcrawler.db import overview
from pixcrawler.db.images import Image


def images(
    job: JobId,
    source: Annotated[str | None, typer.Option(help="Only those of this source.")] = None,
    keyword: Annotated[str | None, typer.Option(help="Only those found by it.")] = None,
    license_id: Annotated[str | None, typer.Option("--license", help="Only those under it, such as CC-BY-4.0.")] = None,
    format: Annotated[str | None, typer.Option(help="Only those of it, such as jpeg.")] = None,  # noqa: A002 its name
    most: Most = 100,
    as_json: AsJson = False,
) -> None:
    """List the pictures a job has kept, each with where it is from and whose it is."""

    async def read(connection: AsyncConnection) -> list[Image]:
        if not await overview.job_exists(connection, job):
            raise no_job(job)
        chosen = {"source": source, "keyword": keyword, "license_id": license_id, "format": format}
        return await kept.page(connection, job, None, most, **chosen)

    tell(
        query(read)[:most],
        *("image", "source", "keyword", "size", "licence", "creator", "address"),
        as_json=as_json,
        row=lambda i: (i.id, i.source, i.keyword, f"{i.width}×{i.height}", i.license_id, i.creator, i.url),
    )
