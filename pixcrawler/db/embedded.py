"""The embedded PostgreSQL under the data folder: started by its first user, stopped by its last.

A user holds a shared lock on the file `users` for as long as it lives, so the kernel forgets users that were killed:
whoever leaves and can lock that file for itself alone was the last. Coming and going happen under the file `lock`.
A process that was given the URL by another is no user: it never starts or stops anything.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO

from pixcrawler.config import Config
from pixcrawler.db import schema
from pixcrawler.db.cluster import Cluster
from pixcrawler.errors import UsageError

if sys.platform != "win32":
    import fcntl


@contextmanager
def database(settings: Config) -> Iterator[str]:
    """The URL of the database to use: `DATABASE_URL`, else the embedded one, with its tables and its local user."""
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    with EmbeddedServer(settings.data_dir) as url:
        schema.initialise(url)
        yield url


def is_there(settings: Config) -> bool:
    """Whether there is a database to ask, without one being made."""
    return settings.database_url is not None or (settings.data_dir / "postgres" / "data").exists()


class EmbeddedServer:
    """A context that yields the server's URL. Raises `UsageError` where the folder or the machine cannot have one."""

    def __init__(self, data_dir: Path) -> None:
        if sys.platform == "win32":
            raise UsageError("the embedded PostgreSQL runs on Linux and macOS only: set DATABASE_URL")
        self._folder = data_dir.resolve() / "postgres"
        self._cluster = Cluster(self._folder / "data")
        self._users: IO[bytes] | None = None

    def __enter__(self) -> str:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._users = (self._folder / "users").open("ab")
            self._join(self._users)
        except OSError as error:
            raise UsageError(f"PIXCRAWLER_DATA_DIR: cannot use {self._folder}: {error.strerror or error}") from error
        return self._cluster.url

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._users is not None
        self._leave(self._users)

    def _join(self, users: IO[bytes]) -> None:
        try:
            with self._lock():
                fcntl.flock(users, fcntl.LOCK_SH)
                self._cluster.ensure_running()
        except BaseException:
            self._leave(users)
            raise

    def _leave(self, users: IO[bytes]) -> None:
        with users, self._lock():
            if _alone(users):
                self._cluster.stop()

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with (self._folder / "lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _alone(users: IO[bytes]) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
