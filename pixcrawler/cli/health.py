"""`pixcrawler health`."""

from __future__ import annotations

import json
from dataclasses import asdict

import httpx
import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from pixcrawler.cli.access import AsJson
from pixcrawler.cli.datasets import with_engine
from pixcrawler.cli.display import console, table
from pixcrawler.config import config
from pixcrawler.health import Health, look
from pixcrawler.storage import open_storage


def health(as_json: AsJson = False) -> None:
    """Ask everything that jobs need whether it is there; exit 1 if something is not."""

    async def ask(engine: AsyncEngine) -> Health:
        async with httpx.AsyncClient(trust_env=False) as client:
            return await look(engine, config(), storage, client)

    storage = open_storage(config())
    seen: Health = with_engine(ask)
    if as_json:
        typer.echo(json.dumps(asdict(seen), indent=2))
    else:
        parts = {"database": seen.database, "storage": seen.storage}
        parts |= {f"node {name}": part for name, part in seen.nodes.items()}
        parts |= {"dispatcher": seen.dispatcher, "exporter": seen.exporter}
        rows = [(name, "yes" if part.ok else "no", part.detail) for name, part in parts.items()]
        console.print(table("", "part", "works", "", rows=rows))
    if seen.status != "ok":
        raise typer.Exit(1)
