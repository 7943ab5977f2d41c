"""`pixcrawler jobs logs`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from pixcrawler.cli.access import AsJson, JobId, no_job, query, run
from pixcrawler.config import config
from pixcrawler.db import overview
from pixcrawler.errors import UsageError
from pixcrawler.storage import open_storage, run_logs


def logs(
    job: JobId,
    run_: Annotated[int | None, typer.Option("--run", min=1, help="Of this run only, see `jobs show`.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print what the crawl processes of a job said; those that are still at work are read on their nodes."""
    seen = query(lambda connection: overview.overview(connection, job))
    if seen is None:
        raise no_job(job)
    if run_ is not None and run_ not in {one.id for one in seen.runs}:
        raise UsageError(f"job {job} has no run {run_}")
    kept = run(run_logs.read(open_storage(config()), job, run_))
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in kept], indent=2))
        return
    for one in kept:
        typer.echo(f"==> run {one.run}, attempt {one.attempt} <==\n{one.log}")
    stored = {(one.run, one.attempt) for one in kept}
    for attempt in seen.attempts:
        if attempt.log and (attempt.run, attempt.attempt) not in stored and run_ in (None, attempt.run):
            typer.echo(f"run {attempt.run}, attempt {attempt.attempt} is {attempt.state}: {attempt.log}", err=True)
