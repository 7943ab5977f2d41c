"""What processes say, as JSON."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import datetime, timedelta
from typing import Any

import pytest

from pixcrawler import logs


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`said("words")`: what the line holds."""
    monkeypatch.setattr(logs, "_of_the_process", {})

    def say(message: str, *arguments: object, **more: Any) -> dict[str, Any]:
        record = logging.LogRecord("pixcrawler.x", logging.WARNING, "x.py", 1, message, arguments, more.get("exc_info"))
        line = logs.JsonFormatter().format(record)
        assert "\n" not in line
        return dict(json.loads(line))

    return say


def test_a_line_tells_when_who_and_what(said: Any) -> None:
    line = said("two\nlines of %s: “ö”", {"a": 1})
    moment = datetime.fromisoformat(line.pop("time"))
    assert moment.utcoffset() == timedelta(0)
    assert line == {"level": "WARNING", "logger": "pixcrawler.x", "message": "two\nlines of {'a': 1}: “ö”"}


def test_a_traceback_stays_in_its_line(said: Any) -> None:
    try:
        raise ValueError("a bug")
    except ValueError as error:
        line = said("it failed", exc_info=(type(error), error, error.__traceback__))
    assert line["error"].startswith("Traceback")
    assert line["error"].endswith("ValueError: a bug")


def test_what_it_is_about_is_known_where_it_is_said(said: Any) -> None:
    async def step(job: int) -> dict[str, Any]:
        with logs.about(job=job):
            await asyncio.sleep(0)
            with logs.about(run=10 * job):
                return dict(said("at work"))

    async def together() -> list[dict[str, Any]]:
        return list(await asyncio.gather(step(1), step(2)))

    assert [(line["job"], line["run"]) for line in asyncio.run(together())] == [(1, 10), (2, 20)]
    assert not said("afterwards").keys() & {"job", "run"}
    logs.identify(run=3, attempt=1, job=None)
    line = said("of this process")
    assert (line["run"], line["attempt"]) == (3, 1)
    assert "job" not in line
