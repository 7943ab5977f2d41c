"""Looks into the index, and decisions of processes that race, as the number of kept pictures grows."""

from __future__ import annotations

import asyncio
import multiprocessing
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psycopg

from pixcrawler.db import engine, fingerprints, locks, schema
from pixcrawler.db.embedded import EmbeddedServer
from pixcrawler.db.scopes import Scope
from pixcrawler.duplicates import ALGORITHM, mates
from pixcrawler.items import ImageItem, Inspection, Looks
from pixcrawler.likeness import FINGERPRINT

SCOPE = "project:1"
BATCH = 64
RACERS = 8
CLAIMS = 256  # pictures that each racer claims
LOOKS = 30
RACED_AT = 300_000  # rows

COPY = (
    "COPY crawler.fingerprints (scope, job, image_id, sha256, codes, fingerprint, algorithm, pixels, freedom, credited)"
)


def codes(random: np.random.Generator) -> bytes:
    """Two views that differ a little, and for one picture in fifty a third."""
    whole = random.bytes(40)
    middle = bytes([whole[0] ^ 5, *whole[1:-1], whole[-1] ^ 7])
    return whole + middle + (random.bytes(40) if random.random() < 0.02 else b"")


def picture(random: np.random.Generator) -> tuple[str, bytes, bytes]:
    """SHA-256, codes and fingerprint."""
    return random.bytes(32).hex(), codes(random), random.bytes(FINGERPRINT - 4) + bytes(4)


def item(seed: int, racer: int) -> ImageItem:
    """A copy of picture `seed`, its own bytes, some bits off."""
    _, its_codes, fingerprint = picture(np.random.default_rng(seed))
    found = ImageItem(f"https://pictures.example/{seed}-{racer}", "urls", "cat")
    sha256 = f"{seed:016x}{racer:016x}" + 32 * "0"
    near = bytes([its_codes[0] ^ (1 << racer % 8)]) + its_codes[1:]
    found.inspection = Inspection(sha256, 1, "jpeg", 800, 600, 1, 0, flat=False, looks=Looks(near, fingerprint))
    return found


def fill(url: str, have: int, rows: int) -> None:
    """Brings the scope to so many rows."""
    random = np.random.default_rng(2**50 + have)
    with psycopg.connect(url) as connection, connection.cursor().copy(f"{COPY} FROM STDIN") as copy:
        for seed in range(have, rows):
            its_own = np.random.default_rng(seed) if seed < LOOKS else random
            sha256, its_codes, fingerprint = picture(its_own)
            copy.write_row((SCOPE, 1, seed, sha256, its_codes, fingerprint, ALGORITHM, 480_000, 0, False))


def speed(sizes: list[int]) -> dict[str, Any]:
    """Tells milliseconds for a look, and decisions a second."""
    results: dict[str, Any] = {"looks": {}, "claims": {}}
    with tempfile.TemporaryDirectory(prefix="pixcrawler-claims-") as folder, EmbeddedServer(Path(folder)) as url:
        schema.initialise(url)
        have = 0
        for rows in sorted({*sizes, RACED_AT} if max(sizes) > RACED_AT else sizes):
            fill(url, have, rows)
            have = rows
            if rows in sizes:
                results["looks"][rows] = asyncio.run(look(url))
                print(rows, results["looks"][rows], flush=True)
            if rows == RACED_AT or rows == max(sizes) < RACED_AT:
                results["claims"] = claims(url)
                print(f"claims at {rows:,} rows", results["claims"], flush=True)
    return results


async def look(url: str) -> dict[str, float]:
    """The replica loaded, then looks of pictures that are new, and of copies, whose fingerprints are fetched."""
    database = engine.create(url, application_name="benchmark", pool_size=1)
    scope = Scope(SCOPE)
    began = time.process_time()
    async with engine.transaction(database) as connection:
        await scope.refresh(connection)
        loaded = time.process_time() - began
        spent: dict[str, list[float]] = {"new": [], "copy": []}
        for number in range(LOOKS):
            for kind, seed in (("new", -1 - number + 2**40), ("copy", number)):
                seen = item(seed, 1).inspection
                assert seen is not None
                began = time.process_time()
                proposed = scope.propose(seen)
                found = await scope.judge(connection, seen, proposed) if proposed.numbers else None
                spent[kind].append((time.process_time() - began) * 1000)
                assert (found is not None) == (kind == "copy")
    await database.dispose()
    return {f"{kind}, ms of CPU": round(median(some), 2) for kind, some in spent.items()} | {
        "loading, s of CPU": round(loaded, 1)
    }


def claims(url: str) -> dict[str, Any]:
    """Decisions a second of racers that claim the same new pictures, under the lock and without it."""
    results: dict[str, Any] = {}
    spawning = multiprocessing.get_context("spawn")
    for name, locked, racers in (("lockless, 8", False, RACERS), ("locked, 8", True, RACERS)):
        first = 10_000_000 + len(results) * CLAIMS
        barrier, took = spawning.Barrier(racers), spawning.SimpleQueue()
        processes = [
            spawning.Process(target=race, args=(url, barrier, took, first, number, locked)) for number in range(racers)
        ]
        for process in processes:
            process.start()
        seconds = max(took.get() for _ in processes)
        for process in processes:
            process.join()
        with psycopg.connect(url) as connection:
            kept = connection.execute(
                "SELECT count(*), count(DISTINCT image_id) FROM crawler.fingerprints WHERE image_id >= %s", (first,)
            ).fetchone()
            connection.execute("DELETE FROM crawler.fingerprints WHERE image_id >= %s", (first,))
        assert kept is not None
        rate = round(racers * CLAIMS / seconds)
        print(f"  {name}", rate, kept, flush=True)
        results[name] = {"a second": rate, "kept": kept[0], "kept twice": kept[0] - kept[1]}
    return results


def race(url: str, barrier: Any, took: Any, first: int, racer: int, locked: bool) -> None:
    took.put(asyncio.run(_race(url, barrier, first, racer, locked)))


async def _race(url: str, barrier: Any, first: int, racer: int, locked: bool) -> float:
    database = engine.create(url, application_name="benchmark", pool_size=1)
    scope = Scope(SCOPE)
    async with engine.transaction(database) as connection:
        await scope.refresh(connection)
    items = [item(first + number, racer) for number in range(CLAIMS)]
    await asyncio.to_thread(barrier.wait, 120)
    began = time.perf_counter()
    for start in range(0, CLAIMS, BATCH):
        batch = items[start : start + BATCH]
        copies = mates(scope.wanted, batch)
        async with engine.transaction(database) as connection:
            await scope.refresh(connection)
            seen = await scope.look_again(connection, batch, {})
        async with engine.transaction(database) as connection:
            if locked:
                await locks.take(connection, f"scope {SCOPE}")
                await scope.refresh(connection)
                seen = await scope.look_again(connection, batch, seen)
            new = [each for each in batch if not seen[each.key].original and each.key not in copies]
            if new:
                await fingerprints.add(connection, [_row(each, first, items) for each in new])
    await database.dispose()
    return time.perf_counter() - began


def _row(each: ImageItem, first: int, items: list[ImageItem]) -> dict[str, Any]:
    looks = each.inspection and each.inspection.looks
    assert each.inspection is not None
    assert looks is not None
    about = {"algorithm": ALGORITHM, "pixels": 480_000, "freedom": 0, "credited": False}
    seed = int(each.url.rpartition("/")[2].partition("-")[0])
    return {
        "scope": SCOPE,
        "job": 1,
        "image_id": seed,
        "sha256": each.inspection.sha256,
        "codes": looks.codes,
        "fingerprint": looks.fingerprint,
        **about,
    }
