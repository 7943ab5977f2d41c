"""What processes say of themselves: lines for people, or one JSON object a line for machines."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

from pixcrawler.config import Config

TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
CHATTERS = ("alembic", "httpx")  # tell every step of a migration, every request

_of_the_process: dict[str, object] = {}
_of_the_moment: ContextVar[Mapping[str, object] | None] = ContextVar("of_the_moment", default=None)


def identify(**facts: object) -> None:
    """Says what all that this process says from now on is about: `job`, `run`, `attempt`, `trace`, where known."""
    _of_the_process.update({name: fact for name, fact in facts.items() if fact is not None})


@contextmanager
def about(**facts: object) -> Iterator[None]:
    """Says what is said inside is about."""
    token = _of_the_moment.set({**(_of_the_moment.get() or {}), **facts})
    try:
        yield
    finally:
        _of_the_moment.reset(token)


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON, its traceback in `error`."""

    def format(self, record: logging.LogRecord) -> str:
        said = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_of_the_process,
            **(_of_the_moment.get() or {}),
        }
        if record.exc_info:
            said["error"] = self.formatException(record.exc_info)
        return json.dumps(said, default=str, ensure_ascii=False)


def to_stderr(config: Config) -> None:
    """Sends what this process says to its standard error, in the form that the settings name."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if config.log_format == "json" else logging.Formatter(TEXT))
    logging.basicConfig(level=config.log_level, handlers=[handler])
    if config.log_level == "INFO":
        for name in CHATTERS:
            logging.getLogger(name).setLevel("WARNING")
