"""The logs of runs: what is stored of them, and what comes back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pixcrawler.storage import run_logs
from pixcrawler.storage.local import LocalStorage
from pixcrawler.storage.run_logs import HEAD_BYTES, TAIL_BYTES, RunLog


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "storage")


def test_they_come_back_in_order(storage: LocalStorage) -> None:
    async def story() -> list[RunLog]:
        for attempt in ("10-1", "9-2", "9-1"):
            await run_logs.store(storage, 7, attempt, f"of {attempt} \xff".encode("latin-1"), {"ending": attempt})
        await run_logs.store(storage, 7, "9-1", b"again", {})
        await run_logs.store(storage, 70, "11-1", b"of another job", {})
        return await run_logs.read(storage, 7)

    kept = asyncio.run(story())
    assert [(one.run, one.attempt) for one in kept] == [(9, 1), (9, 2), (10, 1)]
    assert kept[0] == RunLog(9, 1, "of 9-1 \N{REPLACEMENT CHARACTER}", {"ending": "9-1"})
    assert [one.attempt for one in asyncio.run(run_logs.read(storage, 7, run=10))] == [1]
    assert all(run_logs.is_log(key) for key in asyncio.run(storage.list("jobs/")))
    asyncio.run(run_logs.forget(storage, 7))
    assert asyncio.run(storage.list("jobs/")) == ["jobs/70/logs/11-1.json", "jobs/70/logs/11-1.log.gz"]


def test_of_a_large_one_head_and_tail_stay(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"h" * HEAD_BYTES + b"m" * 1_234_567 + b"t" * TAIL_BYTES)
    kept = run_logs.excerpt(log)
    assert kept == b"h" * HEAD_BYTES + "\n… 1,234,567 bytes are left out here …\n".encode() + b"t" * TAIL_BYTES
    log.write_bytes(b"small")
    assert run_logs.excerpt(log) == b"small"


@pytest.mark.parametrize(
    "key", ["jobs/7/images/ab/abc.jpg", "jobs/7/exports/1.1/dataset.zip", "lists/x", "jobs/logs/x"]
)
def test_nothing_else_is_one(key: str) -> None:
    assert not run_logs.is_log(key)
