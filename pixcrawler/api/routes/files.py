"""Files of this machine's storage, for whoever has a link to one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse

from pixcrawler.api.problems import Code, Refused, described, not_found
from pixcrawler.api.routes import ALWAYS
from pixcrawler.api.state import Api, Plain, State
from pixcrawler.errors import LinkRefused
from pixcrawler.storage import check_link
from pixcrawler.storage.keys import KEY, KEY_LENGTH
from pixcrawler.storage.links import disposition
from pixcrawler.storage.local import LocalStorage

routes = APIRouter(tags=["files"])

Expires = Annotated[int, Query(ge=0, le=2**40)]
Name = Annotated[Plain, Query(min_length=1, max_length=255)]
Signature = Annotated[str, Query(max_length=200)]
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "the file", "content": {"application/octet-stream": {}}},
    206: {"description": "the part that `Range` asks for", "content": {"application/octet-stream": {}}},
    400: {"description": "`malformed`: what `Range` says is none"},
    416: {"description": "there is no such part"},
    **described(Code.LINK_REFUSED, Code.NOT_FOUND, Code.INVALID, *ALWAYS),
}


@routes.get("/files/{key:path}", response_class=FileResponse, responses=ANSWERS)
async def get(api: Api, key: str, expires: Expires, name: Name, signature: Signature) -> FileResponse:
    """A file, or the part that `Range` asks for, until its link is over."""
    path = _path(api, key, expires, name, signature)
    if not await asyncio.to_thread(path.is_file):
        raise not_found()
    return FileResponse(path, headers={"Content-Disposition": disposition(name)})


@routes.head("/files/{key:path}", response_class=FileResponse, responses=ANSWERS)
async def head(api: Api, key: str, expires: Expires, name: Name, signature: Signature) -> FileResponse:
    """What `GET` would say of it."""
    return await get(api, key, expires, name, signature)


def _path(api: State, key: str, expires: int, name: str, signature: str) -> Path:
    """Where the file of a link is, in whichever tier. Raises `Refused`."""
    refusals = []
    for storage in api.storages.values():  # each signs with a key of its own
        if not isinstance(storage, LocalStorage) or len(key) > KEY_LENGTH or not KEY.fullmatch(key):
            continue
        try:
            check_link(storage, key, expires, name, signature)
        except LinkRefused as error:
            refusals.append(str(error))
        else:
            return storage.root / key
    raise Refused(Code.LINK_REFUSED, refusals[0] if refusals else "there are no files here")
