"""The books of several owners whose jobs are crawled at once, fall short, are cancelled and die on the way."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from players import Mortal, at_work, bring, close, quick, until
from worlds import Owner, World, pictures, serving

from pixcrawler.config import Config
from pixcrawler.db.ledger import PostgresLedger
from pixcrawler.jobs import Spent


@pytest.fixture
def node() -> Iterator[Mortal]:
    with serving(Mortal()) as node:
        yield node


@pytest.fixture
def settings(database_url: str, node: Mortal, tmp_path: Path) -> Config:
    return quick(database_url, node, tmp_path, slots=6, job_limits=("0:20",))


def finding(world: World, chance: random.Random, found: int, deaths: float) -> Any:
    """A crawl that finds so many pictures of each keyword; its process may die on the way, at such a probability."""

    async def play(book: PostgresLedger) -> None:
        if (run := await book.open()) is None:
            return
        for keyword in run.slices:
            first = 1000 * int(keyword.removeprefix("pets "))
            items = pictures(*range(first, first + found), keyword=keyword)
            await bring(world.settings, book, items[: found // 2], 2)
            if chance.random() < deaths:
                return
            await bring(world.settings, book, items[found // 2 :], 3, Spent.EXHAUSTED)
        await close(book)

    return play


def unfinished(world: World) -> bool:
    return bool(world.sql("SELECT 1 FROM public.crawl_jobs WHERE status IN ('pending', 'running') LIMIT 1")) or bool(
        world.sql("SELECT 1 FROM crawler.jobs WHERE state NOT IN ('completed', 'failed', 'cancelled') LIMIT 1")
    )


def crawl(world: World, node: Mortal, play: Any, meanwhile: Any = lambda: None) -> None:
    """Two dispatchers bring all jobs to their end."""

    async def story() -> None:
        async with at_work(world, play, node, dispatchers=2):
            await asyncio.to_thread(meanwhile)
            await until(lambda: not unfinished(world), 90)

    asyncio.run(story())


def ask(owner: Owner, number: int, images: int) -> int:
    return owner.ask(keywords=json.dumps([f"pets {number}"]), max_images=images)[0]


def test_twenty_jobs_keep_exactly_what_a_thousand_credits_pay_for(world: World, node: Mortal) -> None:
    owner = Owner(world, 1_000)
    jobs = [ask(owner, number, 60) for number in range(20)]
    crawl(world, node, finding(world, random.Random(3), 60, deaths=0.2))
    kept = dict(world.sql("SELECT id, kept FROM crawler.jobs"))
    assert sorted(kept[job] for job in jobs) == [0, 0, 0, 40, *[60] * 16]
    assert world.sql("SELECT count(*) FROM public.images") == [(1_000,)]
    assert owner.balance == owner.ledger_sum() == 0
    assert world.sql("SELECT count(*) FROM crawler.attempts WHERE state = 'lost'") > [(0,)]
    assert [title for _, title, _ in world.notices() if title == "Low Balance"] == ["Low Balance"]


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_the_ledger_sums_to_the_balance(world: World, node: Mortal, seed: int) -> None:
    """The balance is also what was paid in less what was kept, and no transaction is left open."""
    chance = random.Random(seed)
    owners = {Owner(world, credits_): credits_ for credits_ in (0, chance.randrange(1, 60), 150, 2_000)}
    jobs = [ask(chance.choice(list(owners)), number, chance.randrange(1, 70)) for number in range(24)]

    def cancel_some() -> None:
        for job in chance.sample(jobs, 6):
            world.sql("UPDATE public.crawl_jobs SET status = 'cancelled' WHERE id = %s AND status <> 'failed'", (job,))

    crawl(world, node, finding(world, chance, 40, deaths=0.3), cancel_some)
    for owner, paid in owners.items():
        [(kept, charged)] = world.sql(
            "SELECT coalesce(sum(kept), 0), coalesce(sum(charged), 0) FROM crawler.jobs WHERE owner = %s", (owner.id,)
        )
        assert (owner.balance, charged) == (paid - kept, kept)
        assert owner.ledger_sum() == owner.balance
    assert world.sql("SELECT min(balance_after) >= 0 FROM public.credit_transactions") == [(True,)]
    assert world.sql("SELECT count(*) FROM public.credit_transactions WHERE status = 'pending'") == [(0,)]
    assert world.sql("SELECT count(*) FROM crawler.jobs WHERE hold IS NOT NULL") == [(0,)]
