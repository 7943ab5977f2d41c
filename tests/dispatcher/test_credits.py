"""Credits: held at the claim, settled with what was kept, refunded for the rest; and the rest of the books."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from worlds import Owner, crawling

from pixcrawler.cli.access import in_transaction
from pixcrawler.db import jobs, withdrawing
from pixcrawler.errors import UsageError
from pixcrawler.jobs import AttemptState, Outcome, Spent


@pytest.fixture
def owner(world):
    """`owner(credits)`: one more, with an account; without, if no credits are given."""
    return lambda credits_=None: Owner(world, credits_)


def latest(world: Any) -> str:
    """The attempt that was scheduled last."""
    return str(world.node.scheduled[-1])


def export(world: Any) -> None:
    """Builds every dataset that is waited for, without a file."""
    world.sql("UPDATE crawler.exports SET state = 'done', key = 'k', size = 1, sha256 = 'x' WHERE state <> 'done'")


def complete(world: Any, found: int, **how: Any) -> None:
    """A job that waits is crawled, which finds so many pictures, and exported."""
    world.tick()
    world.crawl(latest(world), crawling(found, **how))
    world.tick(3)
    export(world)
    world.tick()


def end(world: Any, job: int) -> tuple[Any, ...]:
    return tuple(world.sql("SELECT state, outcome, reason, kept FROM crawler.jobs WHERE id = %s", (job,))[0])


def again(world: Any, job: int, requested: int | None = None) -> None:
    """Retries a job, or extends it."""
    terms = {"deadline_seconds": 1000, "jobs_by_credits": world.settings.jobs_by_credits}
    url = world.settings.database_url.get_secret_value()
    if requested is None:
        asyncio.run(in_transaction(url, lambda c: jobs.retry(c, job, **terms)))
    else:
        asyncio.run(in_transaction(url, lambda c: jobs.extend(c, job, requested, **terms)))


# What is taken, and what comes back


def test_what_is_asked_for_is_held_while_the_job_is_at_work(world, owner):
    someone = owner(100)
    someone.ask(max_images=30)
    world.tick()
    assert someone.balance == 70
    assert someone.ledger() == [("usage", "pending", -30, 70)]


def test_what_was_kept_is_charged_and_the_rest_refunded(world, owner):
    someone = owner(100)
    [job] = someone.ask(max_images=30)
    complete(world, 12, spent=Spent.EXHAUSTED)
    assert end(world, job)[:2] == ("completed", "short")
    assert someone.balance == 88
    assert someone.ledger() == [("usage", "completed", -30, 70), ("refund", "completed", 18, 88)]
    assert someone.ledger_sum() == 88


def test_what_is_withdrawn_is_refunded_even_while_the_job_is_taken_up_again(world, owner):
    someone = owner(100)
    [job] = someone.ask(max_images=4)
    complete(world, 4)
    again(world, job, 6)
    assert someone.balance == 94
    ids = [id_ for (id_,) in world.sql("SELECT id FROM public.images ORDER BY id LIMIT 2")]
    url = world.settings.database_url.get_secret_value()
    asyncio.run(in_transaction(url, lambda connection: withdrawing.withdraw(connection, 1, job, ids)))
    assert world.sql("SELECT kept, charged, asked, withdrawn FROM crawler.jobs") == [(2, 2, 4, 2)]
    assert someone.balance == someone.ledger_sum() == 96
    complete(world, 2, first=10)
    assert world.sql("SELECT state, kept, charged FROM crawler.jobs") == [("completed", 4, 4)]
    assert someone.balance == someone.ledger_sum() == 96


def test_nothing_is_refunded_of_a_full_job(world, owner):
    someone = owner(100)
    someone.ask(max_images=30)
    complete(world, 30)
    assert someone.ledger() == [("usage", "completed", -30, 70)]


@pytest.mark.parametrize("begun", [False, True])
def test_a_cancelled_job_costs_what_it_had_kept(world, owner, begun):
    someone = owner(100)
    [job] = someone.ask(max_images=30)
    world.tick()
    if begun:
        world.crawl(latest(world), crawling(5, end=False))
    world.sql("UPDATE public.crawl_jobs SET status = 'cancelled' WHERE id = %s", (job,))
    world.tick(3, cancel_seconds=0.001)
    world.sql("UPDATE crawler.attempts SET state = 'cancelled', ended_at = now() WHERE ended_at IS NULL")
    world.tick(2)
    assert end(world, job)[0] == "cancelled"
    assert someone.balance == (95 if begun else 100)
    assert someone.ledger_sum() == someone.balance


def test_a_job_that_finds_nothing_costs_nothing(world, owner):
    someone = owner(100)
    [job] = someone.ask()
    world.tick()
    world.crawl(latest(world), nothing)
    world.tick(3)
    assert end(world, job)[0] == "failed"
    assert someone.balance == 100


async def nothing(book: Any) -> None:
    """A crawl that finds nothing."""
    await book.open()
    await book.add_page("cat", [], 2, Spent.EXHAUSTED)
    await book.close(Outcome(AttemptState.SHORT, "had no more"))


# Who cannot pay


def test_a_job_beyond_the_balance_stops_there_and_says_so(world, owner):
    someone = owner(4)
    [job] = someone.ask(max_images=10)
    complete(world, 10)
    assert end(world, job) == ("completed", "short", "the credits paid for 4 of the 10 images", 4)
    assert someone.balance == 0
    [notice] = [text for _, title, text in world.notices() if title == "Crawl Job Completed"]
    assert notice == "“pets”: 4 of 10 images are ready. the credits paid for 4 of the 10 images"


@pytest.mark.parametrize("credits_", [None, 0])
def test_without_credits_a_job_fails_and_says_so(world, owner, credits_):
    someone = owner(credits_)
    [job] = someone.ask()
    world.tick()
    assert end(world, job) == ("failed", "failed", "no credits are left", 0)
    assert world.notices() == [("error", "Crawl Job Failed", "“pets” cannot be crawled: no credits are left")]


def test_a_job_waits_for_credits_that_others_hold(world, owner):
    someone, other = owner(10), owner(10)
    first, second = someone.ask(2, max_images=10)
    [elsewhere] = other.ask()
    world.tick(2, job_limits=("0:5",))
    assert someone.running() == [first]
    assert other.running() == [elsewhere]
    run = world.sql("SELECT id FROM crawler.runs WHERE job = %s", (first,))[0][0]
    world.crawl(f"{run}-1", crawling(7, spent=Spent.EXHAUSTED))
    world.tick(3)
    export(world)
    world.tick(2)
    assert end(world, second)[0] == "crawling"
    assert world.sql("SELECT asked FROM crawler.jobs WHERE id = %s", (second,)) == [(3,)]


def test_held_credits_count_for_the_limit(world, owner):
    someone = owner(1_000)
    jobs_ = someone.ask(4, max_images=200)
    world.tick(3, job_limits=("0:1", "1000:3"))
    assert someone.balance == 400
    assert someone.running() == jobs_[:3]


def test_an_account_that_is_gone_is_not_charged(world, owner):
    someone = owner(100)
    [job] = someone.ask()
    world.tick()
    world.sql("DELETE FROM public.credit_accounts WHERE user_id = %s", (someone.id,))
    world.crawl(latest(world), crawling(10))
    world.tick(3)
    export(world)
    world.tick()
    assert end(world, job)[:2] == ("completed", "full")


# Once more


def test_a_retry_holds_and_charges_only_what_is_missing(world, owner):
    someone = owner(100)
    [job] = someone.ask(max_images=10)
    complete(world, 6, spent=Spent.EXHAUSTED)
    assert someone.balance == 94
    again(world, job)
    assert someone.balance == 90
    complete(world, 3, first=7, spent=Spent.EXHAUSTED)
    assert end(world, job)[1::2] == ("short", 9)
    assert someone.balance == 91
    assert someone.ledger_sum() == 91


def test_a_job_that_credits_cut_short_is_brought_on_by_a_retry(world, owner):
    someone = owner(4)
    [job] = someone.ask(max_images=10)
    complete(world, 10)
    with pytest.raises(UsageError, match="its owner has no credits left"):
        again(world, job)
    world.sql("UPDATE public.credit_accounts SET current_balance = 50 WHERE user_id = %s", (someone.id,))
    again(world, job)
    complete(world, 6, first=11)
    assert end(world, job) == ("completed", "full", None, 10)
    assert someone.balance == 44


def test_extending_holds_credits_for_the_more(world, owner):
    someone = owner(100)
    [job] = someone.ask(max_images=10)
    complete(world, 10)
    again(world, job, 25)
    assert someone.balance == 75
    assert someone.ledger()[-1] == ("usage", "pending", -15, 75)


def test_retries_keep_to_the_limit(world, owner):
    someone = owner(100)
    [job] = someone.ask(max_images=10)
    complete(world, 6, spent=Spent.EXHAUSTED)
    someone.ask()
    world.tick()
    world.settings = world.settings.model_copy(update={"job_limits": ("0:1",)})
    with pytest.raises(UsageError, match="has to wait: its owner has as many jobs at work as the credits allow"):
        again(world, job)
    assert end(world, job)[0] == "completed"


# Who is told


def test_a_balance_that_becomes_low_is_told_once(world, owner):
    someone = owner(110)
    for found in (5, 8, 9):
        someone.ask(max_images=20)
        complete(world, found, first=100 * found, spent=Spent.EXHAUSTED)
    low = [text for _, title, text in world.notices() if title == "Low Balance"]
    assert low == ["97 credits are left: each image of a dataset takes one"]


@pytest.mark.parametrize(
    ("preference", "title"), [("crawl_jobs_enabled", "Crawl Job Completed"), ("billing_enabled", "Low Balance")]
)
def test_who_does_not_want_to_hear_of_it_is_not_told(world, owner, preference, title):
    someone = owner(101)
    world.sql("DELETE FROM public.notification_preferences WHERE user_id = %s", (someone.id,))
    world.sql(f"INSERT INTO public.notification_preferences (user_id, {preference}) VALUES (%s, false)", (someone.id,))
    someone.ask(max_images=5)
    complete(world, 5)
    assert {"Crawl Job Completed", "Low Balance"} - {title for _, title, _ in world.notices()} == {title}
    actions = [a for (a,) in world.sql("SELECT action FROM public.activity_logs WHERE user_id = %s", (someone.id,))]
    assert [action for action in actions if "CRAWL" in action] == ["START_CRAWL_JOB", "COMPLETE_CRAWL_JOB"]


# Usage


@pytest.mark.parametrize("drizzle", [False, True])
def test_usage_is_added_up_by_day(world, owner, drizzle):
    if drizzle:
        world.sql("ALTER TABLE public.usage_metrics DROP CONSTRAINT usage_metrics_user_id_metric_date_key")
        world.sql("ALTER TABLE public.usage_metrics ALTER metric_date TYPE timestamp")
    someone = owner(1000)
    world.sql(
        "INSERT INTO public.usage_metrics (user_id, metric_date, images_processed, images_limit)"
        " VALUES (%s, current_date - 1, 100, 77)",
        (someone.id,),
    )
    for found in (5, 7):
        someone.ask(max_images=20)
        complete(world, found, first=100 * found, spent=Spent.EXHAUSTED)
    rows = world.sql(
        "SELECT metric_date::date = current_date, images_processed, images_limit FROM public.usage_metrics"
        " WHERE user_id = %s ORDER BY metric_date",
        (someone.id,),
    )
    assert rows == [(False, 100, 77), (True, 12, 77)]
    [(month, average)] = world.sql(
        "SELECT monthly_usage, average_daily_usage::float8 FROM public.credit_accounts WHERE user_id = %s",
        (someone.id,),
    )
    assert month in (12, 112)  # yesterday may be another month
    assert average == pytest.approx(112 / 30, abs=0.01)


def test_storage_is_what_all_images_of_the_owner_take(world, owner):
    someone = owner(1000)
    someone.ask(max_images=3)
    world.tick()
    world.crawl(latest(world), crawling(3))
    world.sql("UPDATE public.images SET file_size = 2000000000")
    world.tick(3)
    export(world)
    world.tick()
    used = world.sql("SELECT storage_used_gb::float8 FROM public.usage_metrics WHERE user_id = %s", (someone.id,))
    assert used == [(6.0,)]
