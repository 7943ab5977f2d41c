"""Lines 5, 6 and 12: crawl processes that die, hang, and wake up again; and what is said of each end."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from machines import Machine, is_at_work, pliable
from verdicts import WORK_SECONDS, Verdict, judge, stored

Enter = Callable[[Verdict], None]
whole = pytest.mark.whole

SLOW = 0.15  # seconds an answer takes, so that a crawl has a middle
ATTEMPTS = 3  # in vain, after which a run has failed


@pytest.fixture
def everything(machine: Machine) -> Machine:
    """A node, a dispatcher, an exporter, and a source that takes its time."""
    pliable(machine)
    machine.source.latency = SLOW
    machine.node()
    machine.dispatcher()
    machine.exporter()
    return machine


def begun(machine: Machine, job: int, pictures: int) -> psutil.Process:
    """Waits until a job has so many pictures; its crawl process."""

    def ready() -> psutil.Process | None:
        name = machine.running(job) if machine.kept(job) >= pictures else None
        return machine.crawls().get(name) if name else None

    process: psutil.Process = machine.until(ready)
    return process


def allowance(scale: Any) -> float:
    """Until the next attempt: the lease, at worst, and the work."""
    return float(scale.clock("lease")) + WORK_SECONDS


@pytest.mark.parametrize("percent", [pytest.param(10, marks=whole), 50, pytest.param(90, marks=whole)])
def test_killed_at(everything: Machine, scale: Any, verdict: Enter, percent: int) -> None:
    size = scale.size(40, 200)
    calm = everything.job(size, bad=6)
    everything.until(lambda: not everything.unfinished())
    killed = everything.job(size, bad=6)
    process = begun(everything, killed, size * percent // 100)
    before = everything.kept(killed)
    process.kill()
    since = time.time()
    everything.until(lambda: len(everything.attempts(killed)) > 1, allowance(scale))
    pause = time.time() - since
    remarks = f"{before} of {size} kept when killed, next attempt after {pause:.1f} s"
    result = judge(everything, "5", f"kill -9 of a crawl at {percent} %", 1, allowance(scale), remarks)
    verdict(result)
    assert pictures(everything, killed) == pictures(everything, calm)
    assert decisions(everything, killed) == decisions(everything, calm)
    assert before < size, "it had ended before it was killed"


def pictures(machine: Machine, job: int) -> set[str]:
    return {sha for (sha,) in machine.sql("SELECT hash FROM public.images WHERE crawl_job_id = %s", (job,))}


def decisions(machine: Machine, job: int) -> dict[str, int]:
    return dict(machine.sql("SELECT decision, count(*) FROM crawler.candidates WHERE job = %s GROUP BY 1", (job,)))


DEATHS = {"exits 3": signal.SIGUSR2, "killed for its memory": signal.SIGKILL, "aborts": signal.SIGABRT}


@whole
@pytest.mark.parametrize("death", DEATHS)
def test_a_crawl_that_dies_is_followed(everything: Machine, scale: Any, verdict: Enter, death: str) -> None:
    job = everything.job(60, bad=3)
    begun(everything, job, 10).send_signal(DEATHS[death])
    result = judge(everything, "6", f"a crawl {death}", 1, allowance(scale))
    verdict(result)
    states = [state for _, _, state, _ in everything.attempts(job)]
    assert states == ["lost", "succeeded"]


@pytest.mark.parametrize("death", ["exits 3", pytest.param("aborts", marks=whole)])
def test_crawls_that_always_die_fail_their_job(machine: Machine, scale: Any, verdict: Enter, death: str) -> None:
    pliable(machine, first={"exits 3": "os._exit(3)", "aborts": "os.abort()"}[death])
    machine.node()
    machine.dispatcher()
    machine.exporter()
    job = machine.job(20)
    machine.wanted[job] = 0
    result = judge(machine, "6", f"every crawl {death}", ATTEMPTS, allowance(scale))
    verdict(result)
    assert [state for _, _, state, _ in machine.attempts(job)] == ["lost"] * ATTEMPTS
    assert machine.hits(0) == []
    [(message,)] = machine.sql("SELECT message FROM public.notifications")
    assert f"({ATTEMPTS} attempts)" in message


@whole
def test_a_crawl_that_sleeps_is_ended_by_its_node(everything: Machine, scale: Any, verdict: Enter) -> None:
    job = everything.job(60)
    process = begun(everything, job, 10)
    process.suspend()
    result = judge(everything, "6", "a crawl is stopped", 1, 2 * allowance(scale))
    everything.until(lambda: not is_at_work(process))
    verdict(result)
    assert [state for _, _, state, _ in everything.attempts(job)] == ["lost", "succeeded"]


@whole
def test_a_zombie_does_nothing(everything: Machine, scale: Any, verdict: Enter) -> None:
    """A node and its crawl sleep for two leases. Another node does the work; they wake up when it is done."""
    [node] = [part for part in everything.parts if part.name.startswith("node")]
    other = everything.node("127.0.0.2")
    dispatcher = next(part for part in everything.parts if part.name.startswith("dispatcher"))
    dispatcher.send(signal.SIGKILL)  # it knew of one node only
    job = everything.job(60)
    process = begun(everything, job, 10)
    if node_of(everything, job) == other.name.removeprefix("node "):
        node, other = other, node
    asleep = time.time()
    node.send(signal.SIGSTOP)
    process.suspend()
    workers = process.children(recursive=True)
    everything.until(lambda: not everything.unfinished(), 2 * allowance(scale))
    everything.within(asleep + scale.seconds(2 * 45) - time.time())
    everything.until(lambda: everything.sql("SELECT 1 FROM crawler.jobs WHERE swept_at IS NOT NULL"))
    before = snapshot(everything, job)
    awake = time.time()
    process.resume()
    gone = everything.within(15, lambda: not any(map(is_at_work, [process, *workers])))
    seconds = time.time() - awake
    after = snapshot(everything, job)
    hits = everything.hits(awake)
    node.send(signal.SIGCONT)
    result = judge(everything, "6", "a zombie wakes", 1, allowance(scale), f"gone {seconds:.1f} s after waking")
    verdict(result)
    assert gone
    assert after == before
    assert hits == []


def node_of(machine: Machine, job: int) -> str:
    return str(machine.sql("SELECT node FROM crawler.attempts WHERE job = %s ORDER BY attempt DESC", (job,))[0][0])


def snapshot(machine: Machine, job: int) -> dict[str, Any]:
    """All that a zombie could write."""
    tables = ("jobs", "runs", "attempts", "candidates", "fingerprints", "exports")
    rows = {table: machine.sql(f"SELECT to_jsonb(t) - 'projected_at' FROM crawler.{table} t") for table in tables}
    rows |= {"images": machine.sql("SELECT to_jsonb(t) FROM public.images t")}
    return {name: sorted(json.dumps(row) for row in found) for name, found in rows.items()} | {
        "files": stored(machine, job)
    }


def test_every_end_has_a_name_of_its_own(machine: Machine, scale: Any, verdict: Enter) -> None:
    """Line 12. Each end is that of one job; the runs that follow an interrupted one do not count here."""
    pliable(machine, status=7)
    machine.source.latency = SLOW
    home = machine.node()
    machine.dispatcher()
    machine.exporter()
    jobs = {"normal": machine.job(10), "no results": machine.job(0, asked=10)}
    for end, number in {"exit 7": signal.SIGUSR2, "out of memory": signal.SIGKILL}.items():
        jobs[end] = machine.job(30)  # enough to be alive when it is told
        begun(machine, jobs[end], 1).send_signal(number)
    jobs["cancelled"] = machine.job(60)
    begun(machine, jobs["cancelled"], 1)
    machine.cancel(jobs["cancelled"])
    machine.until(lambda: not machine.unfinished())
    jobs["node gone"] = machine.job(30)
    begun(machine, jobs["node gone"], 1)
    home.end(signal.SIGKILL)
    machine.until(lambda: first_end(machine, jobs["node gone"])[0] != "running", allowance(scale))
    home.start()
    result = judge(machine, "12", "six ends", len(jobs), 2 * allowance(scale))
    verdict(result)
    ends = {end: first_end(machine, job) for end, job in jobs.items()}
    assert len(set(ends.values())) == len(ends), ends


def first_end(machine: Machine, job: int) -> tuple[Any, ...]:
    """What an operator sees of the first attempt and of its run."""
    [end] = machine.sql(
        "SELECT a.state, a.reason FROM crawler.attempts a WHERE job = %s ORDER BY run, attempt LIMIT 1", (job,)
    )
    return end
