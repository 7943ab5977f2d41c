"""`pixcrawler duplicates`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.cli.access import AsJson, JobId, no_job, query
from pixcrawler.cli.display import console, shown, table
from pixcrawler.db import overview
from pixcrawler.db.copies import Dropped, Group, groups

# Pictures come from files of this machine alone: a sheet asks nobody for anything.
PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src file:; style-src 'unsafe-inline'">
<title>Duplicates of job {job}</title>
<style>
body {{ font: 15px sans-serif; margin: 2em; }}
section {{ display: flex; gap: 1.5em; margin-bottom: 1.5em; border-top: 1px solid #ccc; padding-top: 1.5em; }}
img {{ width: 240px; height: 180px; object-fit: contain; background: #eee; }}
li {{ overflow-wrap: anywhere; margin-bottom: .3em; }}
</style>
<h1>Duplicates of job {job}</h1>
<p>{dropped} pictures were dropped for {kept} others.</p>
{groups}
</html>
"""
GROUP = """<section>
{picture}
<div><b>{name}</b><br>{url}
<ul>
{dropped}
</ul></div>
</section>"""


def duplicates(
    job: JobId,
    html: Annotated[Path | None, typer.Option(help="Write a page that shows them.", dir_okay=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Show which pictures were dropped for which others, and how near they are."""
    found = query(lambda connection: _groups(connection, job))
    if html is not None:
        html.write_text(_page(job, found), "utf-8")
    if as_json:
        typer.echo(json.dumps([asdict(group) for group in found], indent=2))
    elif html is None:
        console.print(
            table(
                f"{sum(len(group.dropped) for group in found)} pictures were dropped for {len(found)} others",
                *("kept", "dropped", "why", "bits of 256", "likeness"),
                rows=[
                    ("" if number else _name(group), each.url, each.decision, each.distance, _likeness(each))
                    for group in found
                    for number, each in enumerate(group.dropped)
                ],
            )
        )


async def _groups(connection: AsyncConnection, job: int) -> list[Group]:
    if not await overview.job_exists(connection, job):
        raise no_job(job)
    return await groups(connection, job)


def _name(group: Group) -> str:
    return f"{group.file} of job {group.job}" if group.job is not None else f"image {group.image}, which is gone"


def _likeness(dropped: Dropped) -> str:
    return "" if dropped.likeness is None else f"{dropped.likeness:.3f}"


def _page(job: int, found: Sequence[Group]) -> str:
    dropped = sum(len(group.dropped) for group in found)
    return PAGE.format(job=job, dropped=dropped, kept=len(found), groups="\n".join(map(_section, found)))


def _section(group: Group) -> str:
    here = (group.storage_url or "").startswith("file:")
    return GROUP.format(
        picture=f'<img src="{escape(group.storage_url or "")}" alt="">' if here else "",
        name=escape(shown(_name(group))),
        url=escape(shown(group.url)),
        dropped="\n".join(map(_entry, group.dropped)),
    )


def _entry(dropped: Dropped) -> str:
    near = f", {dropped.distance} bits of 256, likeness {_likeness(dropped)}" if dropped.likeness is not None else ""
    return f"<li>{escape(shown(dropped.url))} ({escape(dropped.decision.replace('_', ' '))}{near})</li>"
