"""Line 4: a node that dies or is ended. Line 13: several nodes, one of which dies, and one that comes."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psutil
import pytest
from machines import Machine, is_at_work, pliable
from verdicts import WORK_SECONDS, Verdict, judge

Enter = Callable[[Verdict], None]

SLOTS = 2
ORPHAN_SECONDS = 2.0
EVER, NEVER = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)


@pytest.mark.parametrize("ending", ["SIGKILL", pytest.param("SIGTERM", marks=pytest.mark.whole)])
def test_a_node_dies(machine: Machine, scale: Any, verdict: Enter, ending: str) -> None:
    """With crawls at work, of which one only computes, and others waiting in its queue."""
    pliable(machine)
    machine.source.latency = 0.4
    node = machine.node(slots=SLOTS, announced=2 * SLOTS)  # so that some wait in its queue, and may
    machine.dispatcher(PIXCRAWLER_DISPATCH_SECONDS=str(WORK_SECONDS))
    machine.exporter()
    crowds = []  # how many crawl processes there were at each look

    def crowd() -> dict[str, psutil.Process]:
        crawls = machine.crawls()
        crowds.append(len(crawls))
        return crawls

    times, size = scale.size((1, 30), (5, 60))
    for _ in range(times):
        for _ in range(2 * SLOTS):
            machine.job(size, bad=2, asked=size * 2 // 3)  # the rest is for what is in flight at two deaths
        machine.until(lambda: len(crawls := crowd()) == SLOTS and pending(machine) and all_begun(machine, crawls))
        before = machine.crawls()
        next(iter(before.values())).send_signal(signal.SIGUSR1)
        family = [*before.values(), *(child for crawl in before.values() for child in crawl.children(recursive=True))]
        node.end(getattr(signal, ending))
        assert orphans(machine, family) == []
        node.start()
        machine.until(lambda: crowd() or not machine.unfinished())
    seconds = scale.clock("lease") + 3 * WORK_SECONDS
    machine.within(seconds, lambda: crowd() is not None and not machine.unfinished())
    remarks = f"at most {max(crowds)} crawl processes, {SLOTS} slots"
    verdict(judge(machine, "4", f"{ending} of Scrapyd", times, seconds, remarks))
    assert max(crowds) <= SLOTS


def orphans(machine: Machine, family: list[psutil.Process]) -> list[psutil.Process]:
    """Those that live on after two seconds."""
    machine.within(ORPHAN_SECONDS, lambda: not any(map(is_at_work, family)))
    return [process for process in family if is_at_work(process)]


def pending(machine: Machine) -> int:
    """The attempts that a node has and that have not begun."""
    return int(machine.sql("SELECT count(*) FROM crawler.attempts WHERE state = 'dispatched'")[0][0])


def all_begun(machine: Machine, crawls: dict[str, psutil.Process]) -> bool:
    rows = machine.sql("SELECT run || '-' || attempt FROM crawler.attempts WHERE state = 'running' AND decided > 0")
    return set(crawls) <= {name for (name,) in rows}


def test_nodes_come_and_go(machine: Machine, scale: Any, verdict: Enter) -> None:
    machine.source.latency = 0.1
    nodes = [machine.node(f"127.0.0.{n}") for n in (1, 2, 3)]
    dispatcher = machine.dispatcher()
    machine.exporter()
    jobs = scale.size(8, 50)
    for _ in range(jobs // 2):
        machine.job(6)
    machine.until(lambda: len(finished(machine)) >= jobs // 4)
    nodes[1].end(signal.SIGKILL)
    [(killed,)] = machine.sql("SELECT now()")
    nodes.append(machine.node("127.0.0.4"))
    dispatcher.send(signal.SIGKILL)  # the next one knows all four
    [(added,)] = machine.sql("SELECT now()")
    for _ in range(jobs - jobs // 2):
        machine.job(6)
    seconds = scale.clock("lease") + WORK_SECONDS + 3 * jobs
    result = judge(machine, "13", "a node killed, one added", 2, seconds)
    names = [node.name.removeprefix("node ") for node in nodes]
    load = Counter(node for (node,) in machine.sql("SELECT node FROM crawler.attempts"))
    result.remarks = "attempts: " + ", ".join(f"{name} {load[name]}" for name in names)
    verdict(result)
    assert unevenness(machine, names, dead={names[1]: killed}, born={names[3]: added}) <= 1
    assert all(load[name] for name in names)


def finished(machine: Machine) -> set[int]:
    return set(machine.wanted) - set(machine.unfinished())


def unevenness(machine: Machine, names: list[str], dead: dict[str, datetime], born: dict[str, datetime]) -> int:
    """By how many slots the node of a new attempt was ever fuller than the emptiest one in service."""
    rows = machine.sql("SELECT node, created_at, coalesce(ended_at, now()) FROM crawler.attempts")
    worst = 0
    for chosen, at, _ in rows:
        serving = [name for name in names if at < dead.get(name, EVER) and at > born.get(name, NEVER)]
        taken = Counter(node for node, begin, end in rows if begin < at < end)
        if chosen in serving:
            worst = max(worst, taken[chosen] - min(taken[name] for name in serving))
    return worst
