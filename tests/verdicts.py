"""What is demanded of every disturbance: nothing lost, nothing twice, nothing stuck, and every number true."""

from __future__ import annotations

import hashlib
import zipfile
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from machines import Machine

TERMINAL = ("completed", "failed", "cancelled")
ENDS = ("COMPLETE_CRAWL_JOB", "FAIL_CRAWL_JOB", "CANCEL_CRAWL_JOB")
# For the work itself, beside the waiting for leases: processes that start, datasets, other tests on the same cores.
WORK_SECONDS = 20.0


@dataclass
class Verdict:
    """A line of the table."""

    line: str
    fault: str
    firings: int
    jobs: int = 0
    lost: int = 0  # ended with less than an undisturbed run brings, or in another state
    twice: int = 0  # ended, kept, stored or fetched more than once
    stuck: int = 0  # not ended in time
    remarks: str = ""
    complaints: list[str] = field(default_factory=list)

    @property
    def row(self) -> dict[str, Any]:
        return asdict(self)


def judge(machine: Machine, line: str, fault: str, firings: int, seconds: float, remarks: str = "") -> Verdict:
    """Waits at most `seconds` for all jobs to end, then for their files to be swept, and looks at each."""
    machine.within(seconds, lambda: not machine.unfinished())
    verdict = Verdict(line, fault, firings, len(machine.wanted), remarks=remarks)
    stuck = machine.unfinished()
    verdict.stuck = len(stuck)
    verdict.complaints += [f"job {job} has not ended after {seconds:.0f} s" for job in stuck]
    machine.within(seconds, lambda: not _unswept(machine))
    for job, wanted in machine.wanted.items():
        if job in stuck:
            continue
        lost = _lost(machine, job, wanted)
        twice = [*_ended_twice(machine, job), *_disagreeing(machine, job), *_fetched_again(machine, job)]
        verdict.lost += bool(lost)
        verdict.twice += bool(twice)
        verdict.complaints += [*lost, *twice, *_untrue(machine, job)]
    return verdict


def _unswept(machine: Machine) -> list[Any]:
    return machine.sql("SELECT 1 FROM crawler.jobs WHERE swept_at IS NULL AND state IN ('completed', 'cancelled')")


def _lost(machine: Machine, job: int, wanted: int) -> list[str]:
    rows = machine.sql(
        "SELECT p.status, j.state, coalesce(j.kept, 0) FROM public.crawl_jobs p LEFT JOIN crawler.jobs j USING (id)"
        " WHERE p.id = %s",
        (job,),
    )
    [(status, state, kept)] = rows
    if wanted < 0:
        return [] if status == "cancelled" and state in ("cancelled", None) else [f"job {job} is {status}, {state}"]
    if (status, state, kept) == ("completed", "completed", wanted) or (wanted == 0 and status == state == "failed"):
        return []
    return [f"job {job} is {status}, {state}, and kept {kept} of {wanted}"]


def _ended_twice(machine: Machine, job: int) -> list[str]:
    [(told,)] = machine.sql(
        "SELECT count(*) FROM public.notifications WHERE (metadata->>'crawl_job_id')::int = %s", (job,)
    )
    log = Counter(
        action
        for (action,) in machine.sql("SELECT action FROM public.activity_logs WHERE resource_id = %s", (str(job),))
    )
    [(generation, claimed)] = machine.sql(
        "SELECT coalesce(max(generation), 1), count(*) FROM crawler.jobs WHERE id = %s", (job,)
    )
    ended = sum(log[action] for action in ENDS)
    if not claimed or (told == ended == generation and log["START_CRAWL_JOB"] == 1):
        return []
    return [f"job {job} in generation {generation} was told {told} times, and logged {dict(log)}"]


def _disagreeing(machine: Machine, job: int) -> list[str]:
    """Counter, rows, files and dataset must hold the same pictures, each once."""
    rows = machine.sql("SELECT original_url, hash FROM public.images WHERE crawl_job_id = %s", (job,))
    hashes = {sha256 for _, sha256 in rows}
    kept = [number for (number,) in machine.sql("SELECT kept FROM crawler.jobs WHERE id = %s", (job,))]
    numbers = {
        "counted": kept[0] if kept else 0,
        "shown": machine.sql("SELECT valid_images FROM public.crawl_jobs WHERE id = %s", (job,))[0][0],
        "rows": len(rows),
        "addresses": len({url for url, _ in rows}),
        "pictures": len(hashes),
    }
    complaints = [f"job {job}: {numbers}"] if len(set(numbers.values())) > 1 else []
    if stored(machine, job) != hashes:
        complaints.append(f"job {job}: files {len(stored(machine, job))}, rows {len(hashes)}")
    done = machine.sql("SELECT key FROM crawler.exports WHERE job = %s AND state = 'done'", (job,))
    state = machine.sql("SELECT state FROM crawler.jobs WHERE id = %s", (job,))
    if state == [("completed",)] and (len(done) != 1 or packed(machine.folder / "storage" / done[0][0]) != hashes):
        complaints.append(f"job {job}: {len(done)} datasets, or other pictures in it than rows")
    return complaints


def stored(machine: Machine, job: int) -> set[str]:
    """The hashes by which the files of a job are called."""
    folder = machine.folder / "storage" / "jobs" / str(job) / "images"
    return {path.stem for path in folder.rglob("*") if path.is_file()}


def packed(archive: Path) -> set[str]:
    """The hashes of the pictures in a dataset."""
    with zipfile.ZipFile(archive) as file:
        return {hashlib.sha256(file.read(name)).hexdigest() for name in file.namelist() if name.endswith(".jpg")}


def _fetched_again(machine: Machine, job: int) -> list[str]:
    """No address is asked for after it was decided, unless it was left to a later run."""
    decided = dict(
        machine.sql(
            "SELECT item->>'url', extract(epoch FROM decided_at)::float8 FROM crawler.candidates"
            " WHERE job = %s AND decision NOT IN ('over_quota', 'cancelled', 'abandoned')",
            (job,),
        )
    )
    return [
        f"job {job}: {path} was fetched again {at - decided[machine.source.address + path]:.2f} s after its decision"
        for at, path in list(machine.source.log)
        if at > decided.get(machine.source.address + path, float("inf"))
    ]


def _untrue(machine: Machine, job: int) -> list[str]:
    """The funnel of every run that has ended adds up, and they add up to the job."""
    runs = machine.sql("SELECT id, funnel FROM crawler.runs WHERE job = %s", (job,))
    wrong = [
        f"run {run} of job {job}: {funnel}"
        for run, funnel in runs
        if funnel is None or funnel["found"] != funnel["kept"] + sum(funnel["reasons"].values())
    ]
    met, kept = machine.sql(
        "SELECT count(*), count(*) FILTER (WHERE decision = 'kept') FROM crawler.candidates WHERE job = %s", (job,)
    )[0]
    total = Counter[str]()
    for _, funnel in runs:
        total.update({"found": funnel["found"], "kept": funnel["kept"]} if funnel else {})
    if (total["found"], total["kept"]) != (met, kept):
        wrong.append(f"job {job}: its runs found {dict(total)}, its candidates are {met}, {kept} of them kept")
    return wrong
