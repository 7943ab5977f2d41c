"""`pixcrawler keys …`"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import typer

from pixcrawler.cli.access import AsJson, Most, User, query_for
from pixcrawler.cli.display import in_json, tell
from pixcrawler.db import api_keys
from pixcrawler.errors import UsageError
from pixcrawler.owners import keys
from pixcrawler.owners.keys import MAX_RATE_LIMIT, RATE_LIMIT, Scope
from pixcrawler.owners.projects import checked_name

app = typer.Typer(name="keys", help="API keys, for programs.", no_args_is_help=True)


@app.command(name="list")
def list_(most: Most = 100, user: User = None, as_json: AsJson = False) -> None:
    """List API keys, the newest first."""
    rows = query_for(user, lambda connection, owner: api_keys.page(connection, owner, None, most))
    columns = ("key", "begins with", "name", "status", "may", "uses", "last used", "ends")
    tell(
        rows[:most],
        *columns,
        as_json=as_json,
        row=lambda k: (
            *(k.id, k.key_prefix, k.name, k.status),
            *(k.permissions, k.usage_count, k.last_used_at, k.expires_at),
        ),
    )


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name for people.")],
    may: Annotated[Scope, typer.Option(help="What it permits; each includes those before it.")] = Scope.READ,
    rate_limit: Annotated[int, typer.Option(min=1, max=MAX_RATE_LIMIT, help="Requests a minute.")] = RATE_LIMIT,
    days: Annotated[int | None, typer.Option(min=1, max=36_500, help="Until it ends; else it does not.")] = None,
    user: User = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key and print it; it cannot be shown again."""
    wanted = checked_name(name)
    end = datetime.now(UTC) + timedelta(days=days) if days else None
    key, about = query_for(
        user,
        lambda connection, owner: keys.create(
            connection, owner, wanted, permissions=[may], rate_limit=rate_limit, expires_at=end
        ),
    )
    if as_json:
        typer.echo(json.dumps({"key": key, "about": asdict(about)}, default=in_json, indent=2))
        return
    typer.echo(key)
    typer.echo("Keep it: it is shown this once. Programs send it as Authorization: Bearer …", err=True)


@app.command()
def revoke(
    key: Annotated[UUID, typer.Argument(metavar="KEY", help="Its id, as `keys list` tells it.")],
    user: User = None,
    as_json: AsJson = False,
) -> None:
    """End an API key at once, and for good."""
    if not query_for(user, lambda connection, owner: api_keys.revoke(connection, key, owner)):
        raise UsageError(f"there is no key {key}; see: pixcrawler keys list")
    typer.echo(json.dumps({"id": str(key)}) if as_json else f"key {key} is revoked")
