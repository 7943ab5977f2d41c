"""Draining: who is asked to end leaves running work alone, and nothing is done twice for it."""

from __future__ import annotations

import signal

import pytest
from machines import Machine

SLOW = 0.3  # seconds an answer takes: a crawl of thirty pictures has a middle


def test_a_dispatcher_that_is_asked_to_end_leaves_crawls_alone(machine: Machine) -> None:
    machine.source.latency = SLOW
    machine.node()
    machine.exporter()
    dispatcher = machine.dispatcher()
    running = machine.job(30)
    name = machine.until(lambda: machine.kept(running) and machine.running(running))
    crawl = machine.crawls()[name]
    assert dispatcher.end(signal.SIGTERM) == 0
    waiting = machine.job(5)
    machine.until(lambda: machine.kept(running) == 30)  # it goes on to its end
    assert machine.sql("SELECT id FROM crawler.jobs") == [(running,)]
    machine.until(lambda: not crawl.is_running())
    machine.dispatcher()
    machine.until(lambda: not machine.unfinished())
    assert [state for _, _, state, _ in machine.attempts(running)] == ["succeeded"]
    assert [machine.kept(job) for job in (running, waiting)] == [30, 5]


@pytest.mark.whole
def test_a_node_that_is_taken_out_runs_empty(machine: Machine) -> None:
    machine.source.latency = SLOW
    machine.node("127.0.0.1")
    first = machine.dispatcher()
    machine.exporter()
    running = machine.job(30)
    machine.until(lambda: machine.kept(running))
    machine.node("127.0.0.2")
    left = machine.nodes.pop(0)
    first.end(signal.SIGTERM)
    machine.dispatcher()
    later = [machine.job(5) for _ in range(3)]
    machine.until(lambda: not machine.unfinished())
    assert [state for _, _, state, _ in machine.attempts(running)] == ["succeeded"]
    nodes = dict(machine.sql("SELECT job, min(node) FROM crawler.attempts GROUP BY job"))
    assert nodes[running] in left
    assert {nodes[job] for job in later} == {machine.nodes[0].removeprefix("http://").partition("#")[0]}
