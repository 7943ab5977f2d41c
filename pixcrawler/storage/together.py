"""Small files in batches: what comes while one is written is the next, and the disk is waited for once for each.

A journal commit costs as much for one file as for sixty.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import uuid4

from pixcrawler.storage.files import sync, sync_folder

STEPS = 3  # of a file's way: written, on the disk, under its name


class Together:
    """Writes files by way of the folder `unfinished`. One appears whole, or not at all."""

    def __init__(self, unfinished: Path) -> None:
        self._unfinished = unfinished
        self._waiting: list[tuple[Path, bytes, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def write(self, path: Path, body: bytes) -> None:
        """Returns when the disk has the file and its name. Raises `OSError`."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((path, body, done))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        await done

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            files = [(path, body) for path, body, _ in batch]
            outcomes: Sequence[BaseException | None]
            try:
                outcomes = await asyncio.to_thread(write_all, files, self._unfinished)
            except BaseException as error:  # whoever waits must hear of it
                outcomes = [error] * len(batch)
            for (*_, done), outcome in zip(batch, outcomes, strict=True):
                if done.done():
                    continue  # who waited was cancelled
                if outcome is None:
                    done.set_result(None)
                else:
                    done.set_exception(outcome)


def write_all(files: Sequence[tuple[Path, bytes]], unfinished: Path) -> list[OSError | None]:
    """Takes each step for all files before the next one. Returns what became of each."""
    outcomes: list[OSError | None] = [None] * len(files)
    ways = [_way(path, body, unfinished / uuid4().hex) for path, body in files]
    for _ in range(STEPS):
        for number, way in enumerate(ways):
            if outcomes[number] is None:
                try:
                    next(way, None)
                except OSError as error:
                    outcomes[number] = error
    folders = {path.parent: _synced(path.parent) for (path, _), error in zip(files, outcomes, strict=True) if not error}
    return [error or folders[path.parent] for (path, _), error in zip(files, outcomes, strict=True)]


def _way(path: Path, body: bytes, temporary: Path) -> Iterator[None]:
    if path.is_file():  # stored before: a key holds the same bytes until it is deleted
        if path.read_bytes() != body:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        return
    try:
        with temporary.open("xb") as file:
            file.write(body)
            file.flush()
            yield
            sync(file)
            yield
        if not path.parent.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    yield


def _synced(folder: Path) -> OSError | None:
    try:
        sync_folder(folder)
    except OSError as error:
        return error
    return None
