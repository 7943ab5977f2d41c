"""Accounts that cannot pay for all that is asked of them at once, while crawl processes are killed."""

from __future__ import annotations

import random

import psutil
import pytest
from machines import Machine

CREDITS = 1000
JOBS, IMAGES = 20, 60  # 1,200 images in all
KILLS = 5


@pytest.mark.whole
def test_what_is_kept_is_exactly_what_is_paid_for(machine: Machine) -> None:
    machine.sql("UPDATE public.credit_accounts SET current_balance = %s", (CREDITS,))
    machine.sql("DELETE FROM public.credit_transactions")
    machine.node(slots=4)
    machine.dispatcher()
    machine.dispatcher()
    machine.exporter()
    jobs = [machine.job(IMAGES, bad=3) for _ in range(JOBS)]
    machine.source.latency = 0.02
    killed = kill_some(machine, KILLS)
    machine.until(lambda: not machine.unfinished(), 300)
    assert killed == KILLS
    [(kept, images)] = machine.sql(
        "SELECT sum(kept), (SELECT count(*) FROM public.images WHERE NOT is_duplicate) FROM crawler.jobs"
    )
    assert (kept, images) == (CREDITS, CREDITS)
    [(balance, lowest)] = machine.sql(
        "SELECT current_balance, (SELECT min(balance_after) FROM public.credit_transactions)"
        " FROM public.credit_accounts"
    )
    assert (balance, lowest) == (0, 0)
    [(spent, pending)] = machine.sql(
        "SELECT sum(amount), count(*) FILTER (WHERE status = 'pending') FROM public.credit_transactions"
    )
    assert (spent, pending) == (-CREDITS, 0)
    assert outcomes(machine, jobs) == {"full": 16, "short": 1, "failed": 3}
    assert len(machine.sql("SELECT 1 FROM public.notifications WHERE title = 'Low Balance'")) == 1


def kill_some(machine: Machine, times: int) -> int:
    """Kills so many crawl processes, each some time after it has begun."""
    chance, killed = random.Random(7), 0

    def victim() -> psutil.Process | None:
        running = machine.sql(
            "SELECT run || '-' || attempt FROM crawler.attempts WHERE state = 'running' AND decided > 0 AND attempt = 1"
        )
        crawls = machine.crawls()
        alive = [crawls[name] for (name,) in running if name in crawls]
        return chance.choice(alive) if alive else None

    while killed < times and machine.unfinished():
        machine.within(1 + chance.random())
        if process := machine.within(10, victim):
            process.kill()
            killed += 1
    return killed


def outcomes(machine: Machine, jobs: list[int]) -> dict[str, int]:
    rows = machine.sql("SELECT outcome, count(*) FROM crawler.jobs WHERE id = ANY(%s) GROUP BY outcome", (jobs,))
    return dict(rows)
