"""How jobs look in a terminal, as lines and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date, datetime
from typing import Any
from uuid import UUID

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.filesize import decimal
from rich.progress_bar import ProgressBar
from rich.table import Table

from pixcrawler.db.overview import Export, Job, Overview
from pixcrawler.jobs import ExportState, Funnel

# What people wrote, such as the name of a job, is no markup.
console = Console(markup=False, highlight=False, emoji=False)

BAR_WIDTH = 30
WORD_WIDTH = 10  # what is no longer stays in one line, whatever stands beside it


def shown(value: object) -> str:
    """A text from the database without what could move the cursor."""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str("" if value is None else value)
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def table(title: str, *columns: str, rows: Sequence[Sequence[object]]) -> Table:
    """A table; numbers stand right."""
    result = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for number, name in enumerate(columns):
        right = bool(rows) and all(isinstance(row[number], int) for row in rows)
        widest = max((len(shown(row[number])) for row in rows), default=0)
        result.add_column(
            name, justify="right" if right else "left", overflow="fold", min_width=min(widest, WORD_WIDTH)
        )
    for row in rows:
        result.add_row(*map(shown, row))
    return result


def tell(rows: Sequence[Any], *columns: str, as_json: bool, row: Callable[[Any], Sequence[object]]) -> None:
    """Prints a list, as JSON or as a table with one `row` for each."""
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in rows], default=in_json, indent=2))
    else:
        console.print(table("", *columns, rows=[row(each) for each in rows]))


def jobs_table(jobs: Sequence[Job]) -> Table:
    """One line per job."""
    rows = [(j.id, j.status, j.progress, j.kept, j.asked, j.name, j.created_at) for j in jobs]
    return table("", "job", "status", "%", "kept", "asked", "name", "created", rows=rows)


def funnel_table(funnel: Funnel) -> Table:
    """What became of every image found: kept + all reasons = found."""
    rows = [("kept", funnel.kept), *funnel.reasons.items(), ("found", funnel.found)]
    return table("Every image found", "what became of it", "images", rows=rows)


def details(seen: Overview) -> Group:
    """All there is to say about a job."""
    runs = [(r.id, r.source, r.state, r.kept, r.asked, r.found, list(r.keywords), r.outcome) for r in seen.runs]
    tries = [(f"{a.run}-{a.attempt}", a.node, a.state, a.decided, a.started_at, a.reason) for a in seen.attempts]
    files = [(e.version, e.format, settings(e.options), e.tier, _stage(e), _size(e), e.reason) for e in seen.exports]
    return Group(
        heading(seen.job),
        table("Runs", "run", "source", "state", "kept", "asked", "found", "keywords", "outcome", rows=runs),
        table("Attempts", "attempt", "node", "state", "decided", "started", "reason", rows=tries),
        funnel_table(seen.funnel),
        table("Datasets", "version", "format", "options", "tier", "state", "size", "reason", rows=files),
    )


def _stage(export: Export) -> str:
    return f"{export.state}, {export.progress} %" if export.state == ExportState.BUILDING else export.state


def _size(export: Export) -> str | None:
    return None if export.size is None else decimal(export.size)


def settings(options: Mapping[str, object]) -> str:
    """Options in one line."""
    return ", ".join(f"{name}={value}" for name, value in options.items())


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """A line at a terminal that says how far something is; elsewhere nothing."""
    with Console(stderr=True, markup=False, highlight=False, emoji=False).status("") as status:
        yield lambda text: status.update(shown(text))


def heading(job: Job) -> str:
    """A job in one line."""
    return f"Job {job.id} {shown(job.name)!r}: {line(job)}"


def line(job: Job) -> str:
    """How far a job is."""
    how = f" ({shown(job.outcome)})" if job.outcome and job.outcome != job.state else ""
    why = f": {shown(job.reason)}" if job.reason else ""
    return f"{shown(job.state)}{how}, {job.kept} of {job.asked} images kept{why}"


def live(seen: Overview) -> RenderableType:
    """Bars per run, and the funnel."""
    bars = Table.grid(padding=(0, 1))
    for run in seen.runs:
        bar = ProgressBar(total=max(run.asked, 1), completed=run.kept, width=BAR_WIDTH)
        bars.add_row(run.source, bar, f"{run.kept}/{run.asked}", run.state, shown(list(run.keywords)))
    return Group(heading(seen.job), bars, funnel_table(seen.funnel))


def progress_line(seen: Overview) -> str:
    """How far a job is, where nothing can be drawn twice."""
    at_work = sum(run.state == "running" for run in seen.runs)
    return f"{heading(seen.job)}; {seen.funnel.found} found, {at_work} of {len(seen.runs)} runs at work"


def in_json(value: date | UUID) -> str:
    """How JSON, which knows no times, gets one: ISO 8601."""
    return value.isoformat() if isinstance(value, date) else str(value)


def as_data(seen: Overview) -> dict[str, Any]:
    """The same for programs."""
    names = ("runs", "attempts", "exports")
    lists = {name: [asdict(row) for row in getattr(seen, name)] for name in names}
    return {"job": asdict(seen.job), **lists, "funnel": seen.funnel.to_json()}
