"""The logs of runs, which outlive the nodes they were written on: what each attempt said, and Scrapy's statistics.

Keys below `jobs/<job>/logs/` belong to the job like its datasets: nobody sweeps them, `pixcrawler db prune` deletes
them with the attempts.
"""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixcrawler.storage import Storage

HEAD_BYTES = 256 * 2**10  # how it began
TAIL_BYTES = 768 * 2**10  # how it ended, which is asked for more often
LOG = re.compile(r"jobs/\d+/logs/")
ATTEMPT = re.compile(r"(\d+)-(\d+)\.log\.gz")


@dataclass(frozen=True, slots=True)
class RunLog:
    """What an attempt has left."""

    run: int
    attempt: int
    log: str
    stats: dict[str, Any]  # empty: it ended before it could count


def is_log(key: str) -> bool:
    """Whether a file is kept with its job although no row refers to it."""
    return LOG.match(key) is not None


def folder(job: int) -> str:
    """The prefix of a job's logs."""
    return f"jobs/{job}/logs/"


async def store(storage: Storage, job: int, attempt: str, log: bytes, stats: dict[str, Any]) -> None:
    """Stores what the attempt `<run>-<attempt>` has left; again is harmless."""
    await _put(storage, f"{folder(job)}{attempt}.json", json.dumps(stats, indent=2).encode(), "application/json")
    await _put(storage, f"{folder(job)}{attempt}.log.gz", gzip.compress(log, mtime=0), "application/gzip")


async def _put(storage: Storage, key: str, body: bytes, content_type: str) -> None:
    if not await storage.exists(key):
        await storage.put(key, body, content_type)


async def attempts(storage: Storage, job: int) -> list[tuple[int, int]]:
    """Run and number of the attempts of a job whose logs are there, in order."""
    names = (ATTEMPT.fullmatch(key.rpartition("/")[2]) for key in await storage.list(folder(job)))
    return sorted((int(name[1]), int(name[2])) for name in names if name)


async def read(storage: Storage, job: int, run: int | None = None) -> list[RunLog]:
    """The logs of a job, or of one of its runs, in order."""
    known = await attempts(storage, job)
    return [await read_one(storage, job, *attempt) for attempt in known if run in (None, attempt[0])]


async def read_one(storage: Storage, job: int, run: int, attempt: int) -> RunLog:
    """The log of an attempt that is there."""
    name = f"{folder(job)}{run}-{attempt}"
    log = gzip.decompress(await storage.get(f"{name}.log.gz")).decode(errors="replace")
    stats = json.loads(await storage.get(f"{name}.json")) if await storage.exists(f"{name}.json") else {}
    return RunLog(run, attempt, log, stats)


async def forget(storage: Storage, job: int) -> None:
    """Deletes the logs of a job."""
    for key in await storage.list(folder(job)):
        await storage.delete(key)


def excerpt(path: Path) -> bytes:
    """A log, or the head and the tail of one that is large."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= HEAD_BYTES + TAIL_BYTES:
            return file.read()
        head = file.read(HEAD_BYTES)
        left_out = size - HEAD_BYTES - TAIL_BYTES
        file.seek(-TAIL_BYTES, 2)
        return head + f"\n… {left_out:,} bytes are left out here …\n".encode() + file.read(TAIL_BYTES)
