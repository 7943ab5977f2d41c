"""`pixcrawler db …`"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from pixcrawler.cli.access import in_transaction, run
from pixcrawler.config import config
from pixcrawler.db import audit, engine, pruning, schema
from pixcrawler.db.check import check, require
from pixcrawler.db.embedded import database
from pixcrawler.services import calm_exit
from pixcrawler.storage import open_storage, run_logs

app = typer.Typer(name="db", help="Prepare and check the database.", no_args_is_help=True)


@app.command()
def init() -> None:
    """Create what is missing: our tables, and in a new database the front end's with a local user."""
    with calm_exit(database(config())) as url:
        _remark(schema.initialise(url))
    typer.echo("the database is ready")


@app.command()
def upgrade() -> None:
    """Bring our tables up to date."""
    with calm_exit(database(config())) as url:
        _remark(schema.upgrade(url))
    typer.echo("the database is up to date")


def _remark(remarks: Iterable[str]) -> None:
    for remark in remarks:
        typer.echo(f"pixcrawler: {remark}", err=True)


@app.command(name="check")
def check_() -> None:
    """Print every difference that would break us; exit 1 if there is one."""
    with calm_exit(database(config())) as url:
        problems = run(in_transaction(url, check))
    for problem in problems:
        typer.echo(problem)
    if problems:
        raise typer.Exit(1)
    typer.echo("the database has everything we need")


@app.command(name="audit")
def audit_(
    as_sql: Annotated[
        bool, typer.Option("--sql", help="Print the SQL that closes them, for the owner to run.")
    ] = False,
) -> None:
    """Print every hole between tenants; exit 1 if there is one."""
    with calm_exit(database(config())) as url:
        if as_sql:
            typer.echo(run(in_transaction(url, lambda connection: connection.run_sync(audit.sql))))
            return
        findings = run(in_transaction(url, lambda connection: connection.run_sync(audit.audit)))
    for finding in findings:
        typer.echo(finding)
    if findings:
        raise typer.Exit(1)
    typer.echo("the database keeps its tenants apart")


@app.command()
def prune(
    days: Annotated[int, typer.Option(min=1, help="How long ago a job must have ended.")] = 90,
    delete: Annotated[bool, typer.Option("--delete", help="Do it; otherwise only say what would go.")] = False,
) -> None:
    """Delete the rejected candidates, attempts, logs and sent messages of jobs that ended long ago."""
    with calm_exit(database(config())) as url:
        run(in_transaction(url, require))
        if delete:
            typer.echo(f"{run(_prune(url, days)):,} rows were deleted")
            return
        old = run(in_transaction(url, lambda connection: pruning.count(connection, days)))
    typer.echo(
        f"{old.candidates:,} candidates and {old.attempts:,} attempts of {old.jobs:,} jobs, {old.messages:,} messages"
    )
    if old.rows:
        typer.echo(f"delete them with: pixcrawler db prune --days {days} --delete")


async def _prune(url: str, days: int) -> int:
    pool = engine.create(url, application_name="pixcrawler prune", pool_size=1)
    storage = open_storage(config())
    try:
        return await pruning.prune(pool, days, lambda job: run_logs.forget(storage, job))
    finally:
        await pool.dispose()
