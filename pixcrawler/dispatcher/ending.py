"""End: jobs that are cancelled, and jobs whose crawling is over."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pixcrawler.db import attempts, books, crawl_jobs, exports, jobs, messages, runs
from pixcrawler.db.engine import transaction
from pixcrawler.db.ledger import finish_run
from pixcrawler.dispatcher.steps import for_each
from pixcrawler.jobs import Channel, ExportFormat, ExportState, JobState, RunState


async def heed_wishes(engine: AsyncEngine) -> None:
    """Begins to cancel what its owner does not want any more."""
    async with transaction(engine) as connection:
        unwanted = await crawl_jobs.unwanted(connection)
    await for_each(engine, unwanted, _begin_to_cancel, "dispatcher.heeded")


async def _begin_to_cancel(connection: AsyncConnection, job: int) -> None:
    await jobs.lock(connection, job)
    if not await crawl_jobs.is_wanted(connection, job):  # it may have been cancelled and retried in the meantime
        await jobs.move(connection, job, [JobState.CRAWLING, JobState.EXPORTING], JobState.CANCELLING)


class Ender:
    """Brings jobs that crawl no more to their end. `channels` are those by which notifications leave the house."""

    def __init__(self, engine: AsyncEngine, channels: Collection[Channel]) -> None:
        self._engine = engine
        self._channels = channels

    async def end_jobs(self) -> None:
        """Brings every job that crawls no more one step on."""
        async with transaction(self._engine) as connection:
            cancelling = await jobs.in_state(connection, JobState.CANCELLING)
            exporting = await jobs.in_state(connection, JobState.EXPORTING)
        await for_each(self._engine, cancelling, self._end_cancelled, "dispatcher.finished")
        await for_each(self._engine, exporting, self._end_crawled, "dispatcher.finished")

    async def _end_cancelled(self, connection: AsyncConnection, job_id: int) -> None:
        job = await jobs.lock(connection, job_id)
        if job.state == JobState.CANCELLING and await _all_runs_ended(connection, job_id):
            await exports.cancel_all(connection, job_id)
            message = f"“{job.name}” was cancelled; {job.kept} images had been kept"
            await self._end(connection, job, JobState.CANCELLED, "cancelled", message)

    async def _end_crawled(self, connection: AsyncConnection, job_id: int) -> None:
        job = await jobs.lock(connection, job_id)
        if job.state != JobState.EXPORTING or not await _all_runs_ended(connection, job_id):
            return
        if not job.kept:
            reason = job.reason or "nothing was found"
            await self._end(connection, job, JobState.FAILED, reason, f"“{job.name}” found no image: {reason}")
            return
        files = await exports.of_generation(connection, job_id, job.generation)
        awaited = [file for file in files if file.awaited]
        if not awaited:
            for kind in job.options.get("formats") or [ExportFormat.ZIP]:
                await exports.create(connection, job, ExportFormat(kind), job.options.get("export") or {}, awaited=True)
        elif failed := next((file for file in awaited if file.state == ExportState.FAILED), None):
            await exports.cancel_all(connection, job_id)
            message = f"“{job.name}” could not be packed: {failed.reason}"
            await self._end(connection, job, JobState.FAILED, failed.reason, message)
        elif all(file.state == ExportState.DONE for file in awaited):
            await self._end(connection, job, JobState.COMPLETED, job.reason, _success(job))

    async def _end(
        self, connection: AsyncConnection, job: Any, state: JobState, reason: str | None, message: str
    ) -> None:
        wanted = await crawl_jobs.is_wanted(connection, job.id)  # its row is locked before the account, always
        if state is not JobState.CANCELLED and not wanted:
            await jobs.move(connection, job.id, [job.state], JobState.CANCELLING)  # its owner was faster
            return
        outcome = job.outcome if state is JobState.COMPLETED else state
        await jobs.move(connection, job.id, [job.state], state, reason=reason, outcome=outcome)
        await books.settle(connection, job, self._channels)
        if job.owner is not None:
            await messages.tell_end(
                connection,
                owner=job.owner,
                job=job.id,
                project_id=job.project_id,
                state=state,
                message=message,
                channels=self._channels,
            )
        await crawl_jobs.project(connection, job.id)


def _success(job: Any) -> str:
    if job.outcome == "full":
        return f"“{job.name}”: all {job.kept} images are ready"
    return f"“{job.name}”: {job.kept} of {job.requested} images are ready. {job.reason}"


async def _all_runs_ended(connection: AsyncConnection, job: int) -> bool:
    """Ends the runs nobody works on; whether none is left."""
    active = {attempt.run for attempt in await attempts.active(connection, job)}
    for run in await runs.unfinished(connection, job):
        if run.id not in active:
            await finish_run(connection, run.id, RunState.CANCELLED, "cancelled")
    return not active
