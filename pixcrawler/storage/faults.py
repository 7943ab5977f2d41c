"""One clear line for whatever a file system refuses."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from pixcrawler.errors import StorageFailed

WORDS = {
    errno.ENOENT: "no such file",
    errno.EEXIST: "other bytes are stored under this key",
    errno.ENOTDIR: "a file is in the place of a folder",
    errno.EISDIR: "a folder is in the place of a file",
}


@contextmanager
def explained(subject: str) -> Iterator[None]:
    """Turns an `OSError` into `StorageFailed`: `no space left on device: <subject>`."""
    try:
        yield
    except OSError as error:
        raise StorageFailed(f"{cause(error)}: {subject}") from error


def cause(error: OSError) -> str:
    """What went wrong, in the system's words, without path and number."""
    if error.errno is None:
        return str(error) or type(error).__name__
    return WORDS.get(error.errno) or os.strerror(error.errno).lower()
