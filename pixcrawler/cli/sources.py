"""`pixcrawler sources …`"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.cli.access import AsJson, query, run
from pixcrawler.cli.display import console, shown, table
from pixcrawler.config import config
from pixcrawler.db import sources as checked
from pixcrawler.db.embedded import is_there
from pixcrawler.errors import UsageError
from pixcrawler.jobs import Health
from pixcrawler.source_facts import facts, has_key
from pixcrawler.terms import Source

CHECKS_AT_ONCE = 4  # each is a process, and none asks the host of another
CHECK_SECONDS = 180.0  # Chromium may have to start

app = typer.Typer(name="sources", help="List the sources, and check whether they can be read.", add_completion=False)


@dataclass(frozen=True, slots=True)
class Check:
    """What a check of a source came to; a state of None says nothing about the source."""

    name: str
    state: Health | None
    reason: str
    report: Mapping[str, Any]


@app.callback(invoke_without_command=True)
def sources(context: typer.Context, as_json: AsJson = False) -> None:
    """List the sources: what they need, what they bring, what their terms say, how their last check ended."""
    if context.invoked_subcommand:
        return
    from pixcrawler.sources import catalogue, description

    known = catalogue()
    checks = query(checked.checks) if is_there(config()) else {}
    if as_json:
        data = [facts(source, description(name), checks.get(name), config()) for name, source in known.items()]
        typer.echo(json.dumps(data, indent=2, default=str))
        return
    rows = [_row(source, checks.get(name)) for name, source in known.items()]
    console.print(table("", "source", "needs", "at most", "licence", "check", rows=rows))


@app.command()
def check(
    name: Annotated[str | None, typer.Argument(help="One source; all that can be asked without it.")] = None,
) -> None:
    """Ask sources for what they always have; exit 1 if one answers and cannot be read any more."""
    from pixcrawler.sources import catalogue

    known = catalogue()
    if name is not None and name not in known:
        raise UsageError(f"there is no source {name!r}; there are {', '.join(known)}")
    chosen = list(known.values()) if name is None else [known[name]]
    reasons = {source.name: why for source in chosen if (why := _unaskable(source))}
    found = run(_check_all([source.name for source in chosen if source.name not in reasons]))
    query(lambda connection: _book(connection, found))
    rows = [(one.name, one.state or "not known", one.reason) for one in found]
    console.print(
        table("", "source", "check", "why", rows=[*rows, *((one, "not checked", why) for one, why in reasons.items())])
    )
    if any(one.state is Health.BROKEN for one in found):
        raise typer.Exit(1)


def _unaskable(source: Source) -> str | None:
    """Why a source has no golden query, or must not be asked."""
    if source.needs_list:
        return "it goes where a list says"
    return source.refusal(config().accept_terms, has_key=has_key(source))


async def _check_all(names: Sequence[str]) -> list[Check]:
    room = asyncio.Semaphore(CHECKS_AT_ONCE)

    async def checked_in_turn(name: str) -> Check:
        async with room:
            return await _check(name)

    return await asyncio.gather(*(checked_in_turn(name) for name in names))


async def _check(name: str) -> Check:
    """Runs `scrapy probe`: Scrapy's reactor runs once in a process."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "scrapy", "probe", name, "--loglevel=ERROR"),
        env={**os.environ, "SCRAPY_SETTINGS_MODULE": "pixcrawler.settings"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(), CHECK_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
        return Check(name, Health.UNREACHABLE, f"no answer within {CHECK_SECONDS:.0f} s", {})
    try:
        said = json.loads(output.splitlines()[-1])
        state = Health(said["state"]) if said["state"] else None
        return Check(name, state, said["reason"], said["report"])
    except (ValueError, LookupError):
        return Check(name, None, errors.decode(errors="replace").strip().rpartition("\n")[2] or "no word", {})


async def _book(connection: AsyncConnection, found: Sequence[Check]) -> None:
    for one in found:
        if one.state is not None:
            await checked.book(connection, one.name, one.state, one.reason, one.report)


def _row(source: Source, check: Any) -> tuple[object, ...]:
    health = "never" if check is None else f"{check.state}, {shown(check.checked_at)[:10]}"
    licence = "yes" if {"license", "license_url"} & {*source.fields} else "no"
    return source.name, ", ".join(_needs(source)), source.cap or "", licence, health


def _needs(source: Source) -> list[str]:
    needs = []
    if source.key:
        needs.append(f"{source.key.variable} ({'set' if has_key(source) else 'not set'})")
    if source.terms.consent:
        given = "given" if source.name in config().accept_terms else "not given"
        needs.append(f"consent to its terms ({given})")
    return [*needs, *(["a list"] if source.needs_list else [])]
