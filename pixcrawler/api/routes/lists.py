"""Lists of image addresses, uploaded for a job to crawl."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated
from uuid import UUID

from fastapi import Query, Request
from pydantic import BaseModel

from pixcrawler.api.gate import Writer
from pixcrawler.api.routes import router
from pixcrawler.api.state import Api, Plain, State
from pixcrawler.lists import read_lines
from pixcrawler.orders import list_key
from pixcrawler.storage.keys import PART

LIST_NAME = r"^[0-9a-f]{32}(\.[a-z]{1,10}){1,2}$"

routes = router("crawl-jobs/lists", "crawl jobs")

FileName = Annotated[
    Plain,
    Query(pattern=rf"^{PART}$", max_length=100, description="Its suffix tells what the list is.", examples=["a.csv"]),
]


class Stored(BaseModel):
    """A list that jobs of the same user may name."""

    list: str
    size: int  # bytes


@routes.post(
    "",
    status_code=201,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def upload(api: Api, caller: Writer, request: Request, filename: FileName) -> Stored:
    """Takes a list (txt, csv, tsv, jsonl, each also .gz, or parquet) as the body of the request."""
    return await store(api, caller.user, request.stream(), filename)


async def store(api: State, user: UUID, body: AsyncIterator[bytes], filename: str) -> Stored:
    """Keeps a list for jobs of a user. Raises `UsageError` for what is none."""
    folder = api.config.data_dir / "tmp"
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        path = Path(temporary, filename)
        size = await _receive(body, path)
        await asyncio.to_thread(lambda: next(read_lines(path), None))
        key = list_key(_folder(user), filename)
        await api.storage.put_file(key, path, "application/octet-stream")
    return Stored(list=key.rpartition("/")[2], size=size)


def key_of(user: UUID, name: str) -> str:
    """Where a user's list is in storage: nobody else's can be named."""
    return f"{_folder(user)}/{name}"


def _folder(user: UUID) -> str:
    return f"lists/{user}"


async def _receive(chunks: AsyncIterator[bytes], path: Path) -> int:
    size = 0
    with await asyncio.to_thread(path.open, "xb") as file:
        async for chunk in chunks:
            size += len(chunk)
            await asyncio.to_thread(file.write, chunk)
    return size
