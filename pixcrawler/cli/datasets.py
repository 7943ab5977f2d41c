"""`pixcrawler export`, `tier` and `retention`: datasets, handed out and put away."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pixcrawler import faults
from pixcrawler.cli.access import AsJson, JobId, in_transaction, no_job, run
from pixcrawler.cli.display import progress, settings, shown
from pixcrawler.cli.wishes import FORMATS, EncodeAs, MaxSide, Resize, Seed, Split, StripMetadata, Ultra, wishes
from pixcrawler.config import config
from pixcrawler.db import overview
from pixcrawler.db.check import require
from pixcrawler.db.embedded import database
from pixcrawler.db.engine import create, transaction
from pixcrawler.db.exports import files_of
from pixcrawler.errors import ExportFailed, StorageFailed
from pixcrawler.export.fulfilling import Order
from pixcrawler.export.ordering import ask, ask_move
from pixcrawler.export.retention import Due, Retention
from pixcrawler.export.tiers import Tiers
from pixcrawler.jobs import ExportState, Tier, parse_formats
from pixcrawler.rights import Policy
from pixcrawler.services import calm_exit
from pixcrawler.storage import Storage, open_storage

CONNECTIONS = 2  # one for the work, one for the lease
Question = Callable[[AsyncConnection], Awaitable[Any]]


def export(
    job: JobId,
    format: Annotated[str, typer.Option(help=f"The kind of dataset file: {FORMATS}.")] = "zip",  # noqa: A002 its name
    out: Annotated[Path, typer.Option(help="The folder to put it in.", file_okay=False)] = Path(),
    link: Annotated[bool, typer.Option("--link", help="Print a link that works for an hour; copy nothing.")] = False,
    resize: Resize = None,
    max_side: MaxSide = None,
    encode: EncodeAs = None,
    strip_metadata: StripMetadata = False,
    split: Split = None,
    rights: Annotated[str | None, typer.Option(help=f"Only pictures under licences: {', '.join(Policy)}.")] = None,
    sources: Annotated[str | None, typer.Option(help="Only pictures of these, separated by commas.")] = None,
    keywords: Annotated[str | None, typer.Option(help="Only pictures of these, separated by commas.")] = None,
    seed: Seed = None,
    ultra: Ultra = False,
    as_json: AsJson = False,
) -> None:
    """Copy a job's dataset out of storage, built now if it is not there; exit 1 if there can be none."""
    [kind] = parse_formats([format])
    options = wishes(
        resize=resize,
        max_side=max_side,
        encode=encode,
        strip_metadata=strip_metadata,
        split=split,
        rights=rights,
        sources=sources,
        keywords=keywords,
        seed=seed,
        ultra=ultra,
    )
    row = _obtain(job, lambda connection: ask(connection, job, kind, options))
    storage = open_storage(config(), Tier(row.tier))
    files = run(_links(row, storage) if link else _copies(row, storage, out))
    if as_json:
        facts = ("job", "version", "format", "tier", "options", "pictures", "size", "sha256")
        typer.echo(json.dumps({**{name: getattr(row, name) for name in facts}, "files": files}, indent=2))
    elif link:
        typer.echo("\n".join(file["link"] for file in files))
    else:
        typer.echo(_place(row, out))


def tier(job: JobId, to: Annotated[Tier, typer.Argument(metavar="hot|warm", help="Where it is to be.")]) -> None:
    """Move a job's dataset: warm as 7z, and the hot files go; hot as ZIP again."""
    row = _obtain(job, lambda connection: ask_move(connection, job, to))
    typer.echo(f"job {job}: {row.format}, version {row.version}, {row.tier}")


def retention(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
) -> None:
    """Move and delete what the retention settings say, as exporters do every hour."""

    async def work(engine: AsyncEngine) -> Due:
        rules = Retention(engine, config(), Tiers(config()))
        due = await rules.due()
        if not dry_run:
            await rules.carry_out(due)
        return due

    due = with_engine(work)
    for line in _told(due):
        typer.echo(line)
    if not due:
        typer.echo("nothing is due")


def _obtain(job: int, question: Question) -> Any:
    """The finished export that `question` asks for, waited for or built here."""

    async def work(engine: AsyncEngine) -> Any:
        async with transaction(engine) as connection:
            if not await overview.job_exists(connection, job):
                raise no_job(job)
            row = await question(connection)
        order = Order(engine, config(), Tiers(config()))
        with progress() as show:
            if row.state != ExportState.DONE:
                row = await order.fulfil(row.id, lambda now: show(_stage(now)))
            await order.delete_moved(job)
        return row

    try:
        return with_engine(work)
    except ExportFailed as error:
        typer.echo(f"pixcrawler: {shown(str(error))}", err=True)
        raise typer.Exit(1) from None


def _stage(row: Any) -> str:
    wanted = f" ({settings(row.options)})" if row.options else ""
    return f"job {row.job}: {row.format}, version {row.version}{wanted}: {row.state}, {row.progress} %"


def with_engine(work: Callable[[AsyncEngine], Awaitable[Any]]) -> Any:
    """Does something with the configured database, or with the embedded one, in transactions of its own."""
    faults.arm()
    logging.getLogger("pixcrawler").addHandler(logging.NullHandler())  # what matters is raised, or in the row

    async def connected(url: str) -> Any:
        engine = create(url, application_name="pixcrawler cli", pool_size=CONNECTIONS)
        try:
            return await work(engine)
        finally:
            await engine.dispose()

    with calm_exit(database(config())) as url:
        run(in_transaction(url, require))
        return run(connected(url))


def _place(row: Any, out: Path) -> Path:
    """Where a copy goes: a file, or a folder of several."""
    if row.files is not None:
        return out / f"job-{row.job}-{row.format}"
    [file] = files_of(row)
    return out / f"job-{row.job}{Path(file['name']).suffix}"


async def _copies(row: Any, storage: Storage, out: Path) -> list[dict[str, Any]]:
    place = _place(row, out)
    copies = []
    for file in files_of(row):
        path = place if row.files is None else place / file["name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        await storage.fetch_file(file["key"], path)
        _check(path, file["sha256"])
        copies.append({**_facts(file), "path": str(path)})
    return copies


def _check(path: Path, sha256: str) -> None:
    with path.open("rb") as copy:
        if hashlib.file_digest(copy, "sha256").hexdigest() != sha256:
            raise StorageFailed(f"{path}: not the file that was packed; its bytes have changed in storage")


async def _links(row: Any, storage: Storage) -> list[dict[str, Any]]:
    links = []
    for file in files_of(row):
        name = _place(row, Path()).name if row.files is None else file["name"]
        links.append({**_facts(file), "link": await storage.link(file["key"], name=name)})
    return links


def _facts(file: dict[str, Any]) -> dict[str, Any]:
    return {name: file[name] for name in ("name", "size", "sha256")}


def _told(due: Due) -> Iterator[str]:
    for job in due.cooling:
        yield f"job {job}: its dataset moves to the warm tier"
    for row in due.exports:
        yield f"job {row.job}: {row.format}, version {row.version}, {row.tier} goes"
    for key in due.lists:
        yield f"{key} goes"
