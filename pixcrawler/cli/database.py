"""`pixcrawler db …`"""

from __future__ import annotations

import typer

from pixcrawler.cli.access import in_transaction, run
from pixcrawler.config import config
from pixcrawler.db import schema
from pixcrawler.db.check import check
from pixcrawler.db.embedded import database
from pixcrawler.services import calm_exit

app = typer.Typer(name="db", help="Prepare and check the database.", no_args_is_help=True)


@app.command()
def init() -> None:
    """Create what is missing: our tables, and in a new database the front end's with a local user."""
    with calm_exit(database(config())) as url:
        schema.initialise(url)
    typer.echo("the database is ready")


@app.command()
def upgrade() -> None:
    """Bring our tables up to date."""
    with calm_exit(database(config())) as url:
        schema.upgrade(url)
    typer.echo("the database is up to date")


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
