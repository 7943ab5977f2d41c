"""Plan: from what a job has kept, the runs to start next, or the end of its crawling."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pixcrawler.db import candidates, jobs, runs, sources
from pixcrawler.db.engine import transaction
from pixcrawler.dispatcher.steps import for_each
from pixcrawler.jobs import (
    UNFINISHED_RUNS,
    JobState,
    Pair,
    PlannedRun,
    Reason,
    RunState,
    Slice,
    Spent,
    plan,
)


async def plan_jobs(engine: AsyncEngine) -> None:
    """Plans every job of which something new is known."""
    async with transaction(engine) as connection:
        due = await jobs.to_plan(connection)
    await for_each(engine, due, _plan, "dispatcher.planned")


async def plan_overflowing(engine: AsyncEngine) -> None:
    """Plans the jobs that have met too many candidates, which ends them."""
    async with transaction(engine) as connection:
        due = await jobs.of_too_many_candidates(connection)
    await for_each(engine, due, _plan, "dispatcher.planned")


async def _plan(connection: AsyncConnection, job_id: int) -> None:
    job = await jobs.lock(connection, job_id)
    if job is None or job.state != JobState.CRAWLING:
        return
    history = await runs.of_job(connection, job_id)
    kept = await candidates.kept_by_keyword(connection, job_id)
    broken = await sources.broken(connection)
    pairs = pairs_of(job, history, kept, await candidates.left_over(connection, job_id, job.generation), broken)
    planned = plan(job.asked, pairs)
    stopped = await _limit_reached(connection, job)
    if stopped or not (planned or any(pair.busy for pair in pairs)):
        reason = stopped or ("" if job.kept >= job.asked else shortfall(job, history, broken)) or unpaid(job)
        outcome = "full" if job.kept >= job.requested else "short"
        await jobs.move(
            connection, job_id, [JobState.CRAWLING], JobState.EXPORTING, outcome=outcome, reason=reason or None
        )
        return
    for run in planned:
        await _create(connection, job, history, run)
    await jobs.planned(connection, job_id)


def pairs_of(
    job: Any,
    history: Sequence[Any],
    kept: Mapping[tuple[int, str], int],
    left_over: Container[tuple[str, str]],
    broken: Container[str] = (),
) -> list[Pair]:
    """What is known of every (source, keyword) of a job, from its runs, oldest first.

    `kept` is by run and keyword; `left_over` has the pairs of which candidates wait for a run. Sources that were found
    `broken` count as spent.
    """
    pairs = []
    for keyword in job.keywords:
        for source in job.options["sources"]:
            own = _runs_of(history, source, keyword)
            busy = [run for run in own if run.state in UNFINISHED_RUNS]
            asked_anew = not own or own[-1].generation < job.generation
            pairs.append(
                Pair(
                    source,
                    keyword,
                    kept=sum(kept.get((run.id, keyword), 0) for run in own),
                    outstanding=sum(run.slices[keyword]["quota"] - kept.get((run.id, keyword), 0) for run in busy),
                    busy=bool(busy),
                    spent=source in broken
                    or (not asked_anew and _spent(own[-1], keyword, left_over=(source, keyword) in left_over)),
                )
            )
    return pairs


def _runs_of(history: Sequence[Any], source: str, keyword: str) -> list[Any]:
    return [run for run in history if run.source == source and keyword in run.slices]


def _spent(last: Any, keyword: str, *, left_over: bool) -> bool:
    if last.state == RunState.FAILED:
        return True
    spent = last.slices[keyword]["spent"]
    return spent == Spent.BARREN or (spent is not None and not left_over)


async def _limit_reached(connection: AsyncConnection, job: Any) -> str:
    if job.deadline is not None and job.deadline <= (await connection.execute(select(func.now()))).scalar_one():
        return "the time for crawling was up"
    allowed = jobs.candidates_allowed(job.asked, job.generation)
    met = await candidates.job_funnel(connection, job.id)
    if job.kept < job.asked and met.found - met.reasons.get(Reason.DUPLICATE_URL, 0) >= allowed:
        return f"{allowed:,} candidates were met"
    return ""


async def _create(connection: AsyncConnection, job: Any, history: Sequence[Any], planned: PlannedRun) -> None:
    slices = {
        keyword: next_slice(job, _runs_of(history, planned.source, keyword), keyword, quota)
        for keyword, quota in planned.quotas.items()
    }
    run = await runs.create(connection, job=job.id, generation=job.generation, source=planned.source, slices=slices)
    for keyword in planned.quotas:
        about = {"job": job.id, "generation": job.generation, "source": planned.source, "keyword": keyword}
        for giver in await candidates.hand_over(connection, run=run, **about):
            await runs.recount(connection, giver, await candidates.funnel(connection, giver))


def next_slice(job: Any, own: Sequence[Any], keyword: str, quota: int) -> Slice:
    """Goes on where the last run of a (source, keyword) has stopped.

    Begins anew where an earlier generation has seen all there was: there may be more by now.
    """
    if not own:
        return Slice(quota)
    last = runs.slices_from_json(own[-1].slices)[keyword]
    if last.spent and own[-1].generation < job.generation:
        return Slice(quota)
    return Slice(quota, last.cursor, last.spent)


def unpaid(job: Any) -> str:
    """What the owner's credits did not pay for, if anything."""
    if job.asked >= job.requested:
        return ""
    return f"the credits paid for {job.asked:,} of the {job.requested:,} images"


def shortfall(job: Any, history: Sequence[Any], broken: Mapping[str, str]) -> str:
    """Why a job came short: the last word of each source."""
    words = {run.source: run.outcome for run in history if run.outcome}
    words |= {name: f"found broken ({why})" for name, why in broken.items() if name in job.options["sources"]}
    return "; ".join(f"{source}: {outcome}" for source, outcome in words.items()) or "the sources had no more"
