"""From one row to one dataset, through the real database, the real Scrapyd, real HTTP and real files."""

from __future__ import annotations

import hashlib
import json
import signal
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from loopback import Web
from pictures import encoded, photo

KEYWORDS = ["red panda", "otter"]
SLOW = 0.5  # seconds an answer takes, so that a crawl of 100 pictures has a middle


def fill(source: Web, number: int) -> dict[str, bytes]:
    """Good pictures and bad ones for each keyword; returns what is served, by URL."""
    for n, keyword in enumerate(KEYWORDS):
        paths = source.photos(number, first=1000 * (n + 1))
        first = source.answers[paths[0]].body
        source.put(f"/copy-{n}.jpg", first)
        source.put(f"/cut-{n}.jpg", first[: len(first) // 2])
        source.put(f"/small-{n}.jpg", encoded(photo(n, (80, 60))))
        bad = [f"/copy-{n}.jpg", f"/cut-{n}.jpg", f"/small-{n}.jpg", f"/nothing-{n}.jpg"]
        source.results[keyword] = paths[:5] + bad + paths[5:]
    return {source.address + path: answer.body for path, answer in source.answers.items()}


def dataset(system: Any, job: int) -> zipfile.ZipFile:
    [(key, size, sha256)] = system.sql("SELECT key, size, sha256 FROM crawler.exports WHERE job = %s", (job,))
    path = system.folder / "storage" / key
    body = path.read_bytes()
    assert (len(body), hashlib.sha256(body).hexdigest()) == (size, sha256)
    return zipfile.ZipFile(path)


def pictures_of(archive: zipfile.ZipFile) -> dict[str, bytes]:
    return {name: archive.read(name) for name in archive.namelist() if name.endswith((".jpg", ".png"))}


def stored_files(system: Any, job: int) -> set[str]:
    folder = system.folder / "storage" / "jobs" / str(job) / "images"
    return {path.stem for path in folder.rglob("*") if path.is_file()}


def assert_agreement(system: Any, job: int, served: dict[str, bytes]) -> None:
    """Rows, files and the ZIP hold the same pictures, and these are the bytes that were served."""
    rows = system.sql("SELECT original_url, hash, filename FROM public.images WHERE crawl_job_id = %s", (job,))
    hashes = {sha256 for _, sha256, _ in rows}
    assert all(hashlib.sha256(served[url]).hexdigest() == sha256 for url, sha256, _ in rows)
    assert len(hashes) == len(rows)
    system.until(lambda: stored_files(system, job) == hashes)  # once it is swept
    with dataset(system, job) as archive:
        packed = pictures_of(archive)
    assert {name: hashlib.sha256(body).hexdigest() for name, body in packed.items()} == {
        name: sha256 for _, sha256, name in rows
    }


def test_exactly_what_was_asked(system: Any, source: Web) -> None:
    served = fill(source, 30)
    job = system.insert(KEYWORDS, 40)
    assert system.ended(job) == "completed"
    row = system.sql(
        "SELECT valid_images, progress, total_images, active_chunks, completed_at IS NOT NULL"
        " FROM public.crawl_jobs WHERE id = %s",
        (job,),
    )[0]
    assert row[:2] == (40, 100)
    assert row[3:] == (0, True)
    assert_agreement(system, job, served)
    per_keyword = Counter(dict(system.sql("SELECT metadata->>'keyword', count(*) FROM public.images GROUP BY 1")))
    assert per_keyword == {"red panda": 20, "otter": 20}
    assert system.sql("SELECT type, title FROM public.notifications") == [("success", "Crawl Job Completed")]
    shown = system.cli("jobs", "show", str(job), "--json")
    assert shown.returncode == 0
    assert json.loads(shown.stdout)["job"]["status"] == "completed"


def test_short_with_reasons_that_add_up(system: Any, source: Web) -> None:
    served = fill(source, 12)
    job = system.insert(KEYWORDS, 40)
    assert system.ended(job) == "completed"
    assert_agreement(system, job, served)
    [(kept, outcome, reason)] = system.sql("SELECT kept, outcome, reason FROM crawler.jobs WHERE id = %s", (job,))
    assert (kept, outcome) == (24, "short")
    assert reason == "openverse: otter brought 12, its source has no more; red panda brought 12, its source has no more"
    decisions = dict(system.sql("SELECT decision, count(*) FROM crawler.candidates GROUP BY 1"))
    assert decisions == {"kept": 24, "duplicate_bytes": 2, "damaged": 2, "too_small": 2, "http_error": 2}
    [(total, downloaded)] = system.sql("SELECT total_images, downloaded_images FROM public.crawl_jobs")
    assert (total, downloaded) == (32, 30)


@pytest.mark.parametrize("victim", ["crawl", "dispatcher", "scrapyd"])
def test_a_kill_in_the_middle_loses_nothing(system: Any, source: Web, victim: str) -> None:
    served = fill(source, 60)
    source.latency = SLOW
    job = system.insert(KEYWORDS, 100)
    system.until(lambda: system.sql("SELECT count(*) FROM public.images")[0][0] >= 10)
    decided = {url for (url,) in system.sql("SELECT item->>'url' FROM crawler.candidates WHERE decision IS NOT NULL")}
    hits = Counter(source.hits)
    processes = system.crawls() if victim == "crawl" else [system.part(victim)]
    for process in processes:
        process.send_signal(signal.SIGKILL)
    assert processes
    assert system.ended(job) == "completed"
    assert system.sql("SELECT kept FROM crawler.jobs WHERE id = %s", (job,)) == [(100,)]
    assert_agreement(system, job, served)
    paths = [url.removeprefix(source.address) for url in decided]
    again = {path for path in paths if source.hits[path] > hits[path]}
    assert again == set()


def test_cancelled_in_the_middle(system: Any, source: Web) -> None:
    fill(source, 60)
    source.latency = 4 * SLOW  # the command that cancels takes its time
    job = system.insert(KEYWORDS, 100)
    system.until(lambda: system.sql("SELECT count(*) FROM public.images")[0][0] >= 5)
    assert system.cli("jobs", "cancel", str(job)).returncode == 0
    system.until(lambda: system.sql("SELECT state FROM crawler.jobs")[0][0] == "cancelled")
    hits = sum(source.hits.values())
    system.until(lambda: not system.crawls())
    assert sum(source.hits.values()) == hits
    [(kept,)] = system.sql("SELECT kept FROM crawler.jobs")
    assert kept == system.sql("SELECT count(*) FROM public.images")[0][0] < 100
    system.until(lambda: len(stored_files(system, job)) == kept)


def test_a_bad_row_beside_a_good_one(system: Any, source: Web) -> None:
    fill(source, 30)
    bad = system.insert([], 10)
    good = system.insert(KEYWORDS, 10)
    assert system.ended(bad) == "failed"
    assert system.ended(good) == "completed"
    [(message,)] = system.sql("SELECT message FROM public.notifications WHERE type = 'error'")
    assert "keywords: expected 1 to 50, got 0" in message


def test_a_full_disk_fails_the_job_and_leaves_nothing_half_written(
    small_storage: Path, system: Any, source: Web
) -> None:
    served = fill(source, 120)
    job = system.insert(KEYWORDS, 200)
    assert system.ended(job) == "failed"
    [(message,)] = system.sql("SELECT message FROM public.notifications")
    assert "no space left on device" in message
    assert "\n" not in message
    rows = system.sql("SELECT original_url, hash FROM public.images")
    assert rows
    system.until(lambda: stored_files(system, job) == {sha256 for _, sha256 in rows})
    assert all(hashlib.sha256(served[url]).hexdigest() == sha256 for url, sha256 in rows)
