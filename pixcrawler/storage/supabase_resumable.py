"""Supabase's resumable uploads: the TUS protocol 1.0, https://tus.io/protocols/resumable-upload."""

from __future__ import annotations

import os
from base64 import b64encode
from pathlib import Path
from typing import IO
from urllib.parse import urljoin

import httpx

from pixcrawler.storage.faults import explained as explained_locally
from pixcrawler.storage.remote import Missing
from pixcrawler.storage.retries import Again, patiently
from pixcrawler.storage.supabase_errors import explained

CHUNK = 6 * 2**20  # bytes; Supabase takes no other size
VERSION = {"Tus-Resumable": "1.0.0"}


def upload(client: httpx.Client, address: str, path: Path, names: dict[str, str], key: str) -> None:
    """Brings a file to the store in chunks; each goes on where the store says that the last one ended.

    Nobody sees the object before it is whole. Raises what `explained` does.
    """
    with explained_locally(str(path)), path.open("rb") as file:
        size, done = os.fstat(file.fileno()).st_size, 0
        place = patiently(lambda: _begin(client, address, size, names, key), key)
        try:
            while done < size:
                done = patiently(lambda: _send(client, place, file, key), key)
        except Missing as error:
            raise Again("the store has forgotten the upload") from error


def _begin(client: httpx.Client, address: str, size: int, names: dict[str, str], key: str) -> str:
    metadata = ",".join(f"{name} {b64encode(value.encode()).decode()}" for name, value in names.items())
    headers = {**VERSION, "Upload-Length": str(size), "Upload-Metadata": metadata, "x-upsert": "false"}
    with explained(key):
        answer = client.post(address, headers=headers).raise_for_status()
    return urljoin(address, answer.headers["Location"])


def _send(client: httpx.Client, place: str, file: IO[bytes], key: str) -> int:
    """Sends the next chunk. Returns how much the store has."""
    with explained(key):
        there = client.head(place, headers=VERSION).raise_for_status()
        start = int(there.headers["Upload-Offset"])
        file.seek(start)
        chunk = file.read(CHUNK)
        if not chunk:  # it has all; only its answer was lost
            return start
        headers = {**VERSION, "Upload-Offset": str(start), "Content-Type": "application/offset+octet-stream"}
        answer = client.patch(place, headers=headers, content=chunk).raise_for_status()
        return int(answer.headers["Upload-Offset"])
