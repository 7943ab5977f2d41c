"""`pixcrawler takedown`."""

from __future__ import annotations

import getpass
import json
from dataclasses import asdict
from typing import Annotated, Any

import typer
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pixcrawler.cli.access import AsJson, query
from pixcrawler.cli.datasets import with_engine
from pixcrawler.cli.display import console, in_json, table
from pixcrawler.config import config
from pixcrawler.db import takedowns
from pixcrawler.errors import UsageError
from pixcrawler.export.revoking import Affected, Revoker
from pixcrawler.export.tiers import Tiers
from pixcrawler.takedowns import Kind, Subject


def takedown(
    url: Annotated[str | None, typer.Option(help="Of a picture, or of a page with pictures.")] = None,
    creator: Annotated[str | None, typer.Option(help="A name, or an address, as sources tell it.")] = None,
    sha256: Annotated[str | None, typer.Option(help="Of a picture's bytes as they were served.")] = None,
    reason: Annotated[str, typer.Option(help="Why; the owners of the jobs are told.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List what was taken back.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take pictures back for good: out of rows, datasets and storage, and never in again."""
    given = {Kind.URL: url, Kind.CREATOR: creator, Kind.SHA256: sha256}
    chosen = [Subject.parse(kind, value) for kind, value in given.items() if value is not None]
    if list_ and not chosen:
        _list(as_json=as_json)
        return
    if len(chosen) != 1 or list_:
        raise UsageError("expected one of --url, --creator, --sha256 and --list")
    if not (dry_run or reason.strip()):
        raise UsageError("reason: expected why it is taken back")
    [subject] = chosen

    async def work(engine: AsyncEngine) -> list[Affected]:
        revoker = Revoker(engine, config(), Tiers(config()))
        if dry_run:
            return await revoker.look(subject)
        return await revoker.carry_out(subject, reason=reason.strip(), booked_by=getpass.getuser())

    _tell(subject, with_engine(work), dry_run=dry_run, as_json=as_json)


def _tell(subject: Subject, affected: list[Affected], *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        about = {"kind": subject.kind, "value": subject.value, "dry_run": dry_run}
        typer.echo(json.dumps({**about, "jobs": [asdict(each) for each in affected]}, indent=2))
        return
    for each in affected:
        typer.echo(f"job {each.job}: {each.pictures} pictures, {each.datasets} datasets")
    pictures = sum(each.pictures for each in affected)
    typer.echo(f"{pictures} pictures of {len(affected)} jobs {'would be' if dry_run else 'are'} taken back")


def _list(*, as_json: bool) -> None:
    async def read(connection: AsyncConnection) -> list[Any]:
        return await takedowns.all_of_them(connection)

    rows = query(read)
    if as_json:
        typer.echo(json.dumps([dict(row._mapping) for row in rows], indent=2, default=in_json))
        return
    lines = [(row.created_at, row.kind, row.url or row.value, row.removed, row.booked_by, row.reason) for row in rows]
    console.print(table("", "when", "what", "of", "pictures", "by", "reason", rows=lines))
