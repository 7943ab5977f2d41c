"""`pixcrawler …`. Exit status: 0 done, 1 the job failed or came short, 2 wrong use; errors are one line on stderr."""

from __future__ import annotations

import sys
import traceback
from datetime import UTC, datetime
from typing import NoReturn

import typer

from pixcrawler.cli import (
    books,
    copies,
    database,
    datasets,
    health,
    images,
    jobs,
    keys,
    notifications,
    projects,
    run_logs,
    services,
    sources,
    takedowns,
)
from pixcrawler.config import config
from pixcrawler.errors import PixCrawlerError
from pixcrawler.services import unwind_on_signals

FAILED, WRONG_USE, INTERRUPTED = 1, 2, 130

app = typer.Typer(help="Turns keywords into image datasets people can trust.", no_args_is_help=True)
app.command()(services.up)
app.command()(services.demo)
app.command()(services.dispatcher)
app.command()(services.exporter)
app.command()(services.api)
app.add_typer(database.app)
jobs.app.command()(images.images)
jobs.app.command()(run_logs.logs)
app.add_typer(jobs.app)
app.add_typer(projects.app)
app.add_typer(notifications.app)
app.add_typer(keys.app)
app.command("credits")(books.credits_)
app.command()(books.usage)
app.command()(health.health)
app.command()(datasets.export)
app.command()(datasets.tier)
app.command()(datasets.retention)
app.command()(copies.duplicates)
app.command()(takedowns.takedown)
app.add_typer(sources.app)


def main() -> NoReturn:
    """Runs the command line and exits."""
    unwind_on_signals()
    try:
        sys.exit(app(standalone_mode=False))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except typer.TyperException as error:
        _leave(error.format_message(), WRONG_USE)
    except PixCrawlerError as error:
        _leave(str(error), WRONG_USE)
    except OSError as error:
        _leave(f"{error.filename or 'input/output'}: {error.strerror or error}", WRONG_USE)
    except Exception as error:
        if config().log_level == "DEBUG":
            raise
        _leave(f"{type(error).__name__}: {_one_line(str(error))}; {_where_it_is_told()}", FAILED)


def _leave(message: str, status: int) -> NoReturn:
    if message:  # without arguments, the help has said it all
        print(f"pixcrawler: {_one_line(message)}", file=sys.stderr)
    sys.exit(status)


def _one_line(message: str) -> str:
    return " ".join(message.split())


def _where_it_is_told() -> str:
    path = config().data_dir / "logs" / "pixcrawler.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as log:
            log.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {' '.join(sys.argv)}\n{traceback.format_exc()}\n")
    except OSError:
        return "LOG_LEVEL=DEBUG tells more"
    return f"more in {path}"
