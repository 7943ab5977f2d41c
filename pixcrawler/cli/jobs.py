"""`pixcrawler jobs …`"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.cli.access import AsJson, JobId, in_transaction, no_job, query, run
from pixcrawler.cli.display import as_data, console, details, in_json, jobs_table
from pixcrawler.cli.watching import watch as watch_job
from pixcrawler.cli.wishes import FORMATS, EncodeAs, MaxSide, Resize, Seed, Split, StripMetadata, Ultra, wishes
from pixcrawler.config import config
from pixcrawler.db import crawl_jobs, jobs, overview, projects
from pixcrawler.db.check import require
from pixcrawler.db.embedded import database
from pixcrawler.errors import UsageError
from pixcrawler.filters import GIVEN
from pixcrawler.jobs import CANCELLABLE, Extent, JobStatus, parse_max_images
from pixcrawler.likeness import PRESETS
from pixcrawler.lists import read_lines
from pixcrawler.orders import list_key, parse_order
from pixcrawler.rights import Policy
from pixcrawler.services import calm_exit
from pixcrawler.storage import open_storage

app = typer.Typer(name="jobs", help="Create, watch, cancel, retry and extend jobs.", no_args_is_help=True)


@app.command()
def create(
    keywords: Annotated[str, typer.Option(help="What to look for, separated by commas.")],
    max_images: Annotated[int, typer.Option(help="How many good images are wanted.")],
    sources: Annotated[str | None, typer.Option(help="Where to look, separated by commas.")] = None,
    list_file: Annotated[Path | None, typer.Option("--list", help="A list of image addresses to crawl.")] = None,
    quality: Annotated[str | None, typer.Option(help="How good: lenient, standard or strict.")] = None,
    duplicates: Annotated[str | None, typer.Option(help=f"What is one: {', '.join(PRESETS)}.")] = None,
    scope: Annotated[str | None, typer.Option(help=f"Of whose pictures: {', '.join(Extent)}.")] = None,
    flips: Annotated[bool, typer.Option("--flips", help="Mirror images are duplicates too.")] = False,
    rights: Annotated[str | None, typer.Option(help=f"Which licences: {', '.join(Policy)}.")] = None,
    filters: Annotated[
        list[str] | None, typer.Option("--filter", help=f"What else, such as size=large: {', '.join(GIVEN)}.")
    ] = None,
    formats: Annotated[
        list[str] | None, typer.Option("--format", help=f"A kind of dataset file, each once: {FORMATS}.")
    ] = None,
    resize: Resize = None,
    max_side: MaxSide = None,
    encode: EncodeAs = None,
    strip_metadata: StripMetadata = False,
    split: Split = None,
    seed: Seed = None,
    ultra: Ultra = False,
    project: Annotated[int | None, typer.Option(help="The project's number, if there are several.")] = None,
    name: Annotated[str | None, typer.Option(help="A name for people.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask for a dataset."""
    from pixcrawler.sources import catalogue

    order = parse_order(
        catalogue(),
        config(),
        keywords=keywords.split(","),
        max_images=max_images,
        name=name,
        sources=_chosen(sources),
        list=_list_key(list_file) if list_file else None,
        quality=quality,
        duplicates=duplicates,
        scope=scope,
        flips=flips or None,
        rights=rights,
        filters=_filters(filters or []),
        formats=formats,
        export=wishes(
            resize=resize,
            max_side=max_side,
            encode=encode,
            strip_metadata=strip_metadata,
            split=split,
            seed=seed,
            ultra=ultra,
        ),
    )

    async def insert(connection: AsyncConnection) -> int:
        where = await projects.choose(connection, project)
        return await crawl_jobs.create(connection, project_id=where, **asdict(order))

    if list_file:
        run(open_storage(config()).put_file(order.options["list"], list_file, "application/octet-stream"))
    job = query(insert)
    typer.echo(json.dumps({"id": job}) if as_json else f"job {job} waits; see it with: pixcrawler jobs watch {job}")


def _filters(given: list[str]) -> dict[str, str]:
    pairs = dict(text.partition("=")[::2] for text in given)
    return {name.strip(): value.strip() for name, value in pairs.items()}


def _chosen(sources: str | None) -> list[str]:
    return [] if sources is None else list(dict.fromkeys(name.strip() for name in sources.split(",")))


def _list_key(path: Path) -> str:
    """Where a list is to be stored. Raises `UsageError` saying what is wrong with it."""
    next(read_lines(path), None)
    return list_key("lists", path.name)


@app.command(name="list")
def list_(
    status: Annotated[JobStatus | None, typer.Option(help="Only those of it.")] = None,
    project: Annotated[int | None, typer.Option(help="Only those of the project of this number.")] = None,
    as_json: AsJson = False,
) -> None:
    """List all jobs, the newest first."""
    known = query(lambda connection: overview.all_jobs(connection, status=status, project=project))
    if as_json:
        typer.echo(json.dumps([asdict(job) for job in known], default=in_json, indent=2))
    else:
        console.print(jobs_table(known))


@app.command()
def show(job: JobId, as_json: AsJson = False) -> None:
    """Show a job, its runs, attempts and datasets, and what became of every image found."""
    seen = query(lambda connection: overview.overview(connection, job))
    if seen is None:
        raise no_job(job)
    if as_json:
        typer.echo(json.dumps(as_data(seen), default=in_json, indent=2))
    else:
        console.print(details(seen))


@app.command()
def watch(job: JobId, as_json: AsJson = False) -> None:
    """Watch a job until it ends; exit 0 if it brought all images asked for, else 1."""
    with calm_exit(database(config())) as url:
        run(in_transaction(url, require))
        seen = run(watch_job(url, job, as_json=as_json))
    raise typer.Exit(0 if seen.job.full else 1)


@app.command()
def cancel(job: JobId, as_json: AsJson = False) -> None:
    """Ask for a job to stop."""
    before = query(lambda connection: crawl_jobs.ask_cancel(connection, job))
    if before is None:
        raise no_job(job)
    if before not in CANCELLABLE:
        raise UsageError(f"job {job} cannot be cancelled: it is {before}")
    typer.echo(json.dumps({"id": job, "before": before}) if as_json else f"job {job} is asked to stop; it was {before}")


@app.command()
def retry(job: JobId, as_json: AsJson = False) -> None:
    """Take up an ended job again: what is missing is crawled, and the dataset is built."""
    _goes_on(job, query(lambda connection: jobs.retry(connection, job, **_terms())), as_json=as_json)


@app.command()
def extend(
    job: JobId,
    max_images: Annotated[int, typer.Option(help="How many good images are wanted in all.")],
    as_json: AsJson = False,
) -> None:
    """Ask an ended job for more images; those it has stay."""
    wanted = parse_max_images(max_images)
    _goes_on(job, query(lambda connection: jobs.extend(connection, job, wanted, **_terms())), as_json=as_json)


def _terms() -> dict[str, Any]:
    return {"deadline_seconds": config().deadline_seconds, "jobs_by_credits": config().jobs_by_credits}


def _goes_on(job: int, generation: int, *, as_json: bool) -> None:
    said = {"id": job, "generation": generation}
    typer.echo(json.dumps(said) if as_json else f"job {job} goes on; see it with: pixcrawler jobs watch {job}")
