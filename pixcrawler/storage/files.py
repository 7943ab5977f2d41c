"""Files that are on the disk when we say so."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from uuid import uuid4

from pixcrawler.storage.faults import explained


@contextmanager
def appearing(path: Path) -> Iterator[IO[bytes]]:
    """A new file that takes its place at `path` when it is whole, or is gone. Raises `StorageFailed`."""
    part = path.with_name(f"{path.name}.{uuid4().hex}")
    try:
        with explained(str(path)):
            with part.open("xb") as file:
                yield file
                sync(file)
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_durably(source: IO[bytes], path: Path) -> None:
    """Copies a stream into a new file and waits until the disk has it."""
    with path.open("xb") as file:
        shutil.copyfileobj(source, file, 1 << 20)
        sync(file)


def sync(file: IO[bytes]) -> None:
    """Waits until the disk has what was written."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Waits until the disk has the folder's new name, where the system can say so."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
