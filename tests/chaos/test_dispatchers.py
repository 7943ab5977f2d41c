"""Line 1: dispatchers and exporters that die at every step where dying matters. Line 14: clocks that are wrong."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from machines import Machine, Part, customized
from verdicts import WORK_SECONDS, Verdict, judge

from pixcrawler.faults import POINTS

Enter = Callable[[Verdict], None]

AT_ONCE = 6  # jobs under way; each is through soon after the last fault


class Doomed:
    """A process that dies at its points, at each of them often enough, and then no more."""

    def __init__(self, machine: Machine, command: str, times: int, spared: str = "SELECT 1 WHERE false") -> None:
        self.points = [point for point in POINTS if point.startswith(command)]
        self._machine = machine
        self._times = times
        self._probability = 0.5 if times > 1 else 1
        self._spared = spared
        self._armed = False
        self._part: Part | None = None
        self._part = machine.service(command, self._env)

    @property
    def firings(self) -> Counter[str]:
        return self._part.firings() if self._part else Counter()

    @property
    def left(self) -> list[str]:
        """The points at which it has not died often enough."""
        firings = self.firings
        return [point for point in self.points if firings[point] < self._times]

    def _env(self) -> dict[str, str]:
        left = [] if self._machine.sql(self._spared) else self.left
        self._armed = bool(left)
        return {"PIXCRAWLER_FAULT": ",".join(f"{point}:{self._probability}" for point in left)} if left else {}

    def arm_again(self) -> None:
        """Ends a life that was spared once there is no reason to any more."""
        if self._part and not self._armed and self.left and not self._machine.sql(self._spared):
            self._part.send(signal.SIGKILL)


# A dataset over which its exporter has died three times is given up, rightly: nobody dies over it more than twice.
TRIED_TWICE = "SELECT 1 FROM crawler.exports WHERE state IN ('pending', 'building') AND tries >= 2"


def test_killed_at_every_step(machine: Machine, scale: Any, verdict: Enter) -> None:
    """A fifth of the jobs is cancelled, and a fifth loses its crawl process: their steps are to be met too."""
    jobs, times = scale.size((10, 1), (40, 5))
    machine.node()
    doomed = [Doomed(machine, "dispatcher", times), Doomed(machine, "exporter", times, TRIED_TWICE)]
    victims: dict[int, Callable[[Machine, int], bool]] = {}  # jobs that something is to happen to

    def more_to_do() -> bool:
        for process in doomed:
            process.arm_again()
        for job, happens in list(victims.items()):
            if happens(machine, job):
                del victims[job]
        if len(machine.wanted) >= jobs and not any(process.left for process in doomed):
            return False
        if len(machine.unfinished()) < AT_ONCE:
            number = len(machine.wanted)
            job = machine.job(8, bad=2, hangs=number % 5 == 3)
            if happens := {3: cancelled, 1: bereft}.get(number % 5):
                victims[job] = happens
        return True

    began = time.monotonic()
    machine.until(lambda: not more_to_do(), scale.size(60, 480) + machine.patience)
    seconds = time.monotonic() - began
    machine.until(lambda: not [job for job, happens in victims.items() if not happens(machine, job)])
    firings = sum((process.firings for process in doomed), Counter[str]())
    number = min(firings[point] for process in doomed for point in process.points)
    remarks = f"{len(firings)} points, each {number} times or more, in {seconds:.0f} s"
    allowed = scale.clock("lease") + WORK_SECONDS
    verdict(judge(machine, "1", "kill -9 at each point", firings.total(), allowed, remarks))
    assert number >= times, firings


def cancelled(machine: Machine, job: int) -> bool:
    """Cancels a job whose crawl has begun."""
    if machine.running(job):
        machine.cancel(job)
    return machine.wanted[job] < 0


def bereft(machine: Machine, job: int) -> bool:
    """Kills the first crawl process of a job."""
    name = machine.running(job)
    process = machine.crawls().get(name) if name else None
    if process:
        process.kill()
    return process is not None or job not in machine.unfinished()


SHIFTED = """
import datetime, sys, time

if any(word {test} for word in sys.orig_argv):
    real = time.time
    shift = {shift}
    time.time = lambda: real() + shift
    time.time_ns = lambda: int(time.time() * 1e9)

    class Shifted(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls.fromtimestamp(time.time(), tz)

        @classmethod
        def utcnow(cls):
            return cls.now(datetime.UTC).replace(tzinfo=None)

    datetime.datetime = Shifted
"""
CLOCKS = {"dispatcher": '== "dispatcher"', "crawl": '.startswith("_job=")'}


@pytest.mark.parametrize("hours", [1, pytest.param(-1, marks=pytest.mark.whole)])
@pytest.mark.parametrize("process", ["dispatcher", pytest.param("crawl", marks=pytest.mark.whole)])
def test_a_wrong_clock_takes_nothing_over(
    machine: Machine, scale: Any, verdict: Enter, process: str, hours: int
) -> None:
    customized(machine, SHIFTED.format(test=CLOCKS[process], shift=3600 * hours))
    machine.source.latency = scale.clock("heartbeat") / 4
    began = time.time()
    machine.node()
    dispatcher = machine.dispatcher()
    machine.exporter()
    job = machine.job(60)
    slow = scale.clock("lease") + WORK_SECONDS + 60 * machine.source.latency
    result = judge(machine, "14", f"the clock of the {process} is {hours:+} h off", 1, slow)
    verdict(result)
    assert [state for _, _, state, _ in machine.attempts(job)] == ["succeeded"]
    [(seconds,)] = machine.sql("SELECT extract(epoch FROM ended_at - started_at)::float8 FROM crawler.attempts")
    assert seconds > scale.clock("heartbeat"), "too short for a lease to matter"
    log = dispatcher.said() if process == "dispatcher" else crawl_log(machine)
    assert wrong(hours, began) in log or wrong(hours, time.time()) in log, "its clock was right"


def wrong(hours: int, moment: float) -> str:
    """The hour that such a clock shows."""
    return time.strftime("%Y-%m-%d %H", time.localtime(moment + 3600 * hours))


def crawl_log(machine: Machine) -> str:
    return "\n".join(path.read_text() for path in (machine.folder / "logs" / "crawl").rglob("*.log"))
