"""Pictures are taken back for good: kept out first, then out of rows and datasets, then out of storage.

Whoever is killed in between has it begun again: copies are removed before the pictures by which they are found, and
what lies in storage without a row is swept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pixcrawler import faults
from pixcrawler.config import Config
from pixcrawler.db import exports, jobs, messages, takedowns, tracing, withdrawing
from pixcrawler.db.engine import transaction
from pixcrawler.db.patience import persist
from pixcrawler.db.tracing import Picture
from pixcrawler.export.building import Builder
from pixcrawler.export.tiers import Tiers, delete_all
from pixcrawler.jobs import Tier
from pixcrawler.takedowns import Kind, Subject

Value = TypeVar("Value")
Tell = Callable[[AsyncConnection, int], Awaitable[None]]

BATCH = 200  # pictures in a transaction; others wait for it


@dataclass(frozen=True, slots=True)
class Affected:
    """What a takedown removes of one job."""

    job: int
    pictures: int  # kept, or replaced by others
    datasets: int  # finished ones


class Revoker:
    """Takes pictures back."""

    def __init__(self, engine: AsyncEngine, config: Config, tiers: Tiers) -> None:
        self._engine = engine
        self._config = config
        self._tiers = tiers

    async def look(self, subject: Subject) -> list[Affected]:
        """What would be removed; changes nothing."""
        named = await tracing.named(self._engine, subject)
        tombs = await self._tombs(subject, named)
        return await self._affected({*named, *await tracing.alike(self._engine, tombs)})

    async def carry_out(self, subject: Subject, *, reason: str, booked_by: str) -> list[Affected]:
        """Takes back what there is, and keeps out what comes; safe to repeat. Returns what is removed."""
        takedown = await self._persist(
            lambda connection: takedowns.book(connection, subject, reason=reason, booked_by=booked_by)
        )
        faults.reach("takedown.booked")
        named = await tracing.named(self._engine, subject)
        tombs = await self._tombs(subject, named)
        for some in _batches(tombs):
            await self._persist(partial(takedowns.entomb, rows=some))
        faults.reach("takedown.entombed")
        others = set(await tracing.alike(self._engine, tombs)) - set(named)
        affected = await self._affected({*named, *others})
        work = [batch for pictures in (others, named) for batch in _by_job(pictures)]
        await self._remove(takedown, work, reason)
        await Builder(self._engine, self._config, self._tiers).delete_removed()
        return affected

    async def _tombs(self, subject: Subject, named: Sequence[Picture]) -> list[dict[str, Any]]:
        tombs = await tracing.looks_of(self._engine, named)
        return tombs or ([tracing.bare(subject.value)] if subject.kind is Kind.SHA256 else [])

    async def _affected(self, pictures: Collection[Picture]) -> list[Affected]:
        by_job = Counter(each.job for each in pictures)
        async with transaction(self._engine) as connection:
            datasets = await exports.finished(connection, list(by_job))
        return [Affected(job, number, datasets.get(job, 0)) for job, number in sorted(by_job.items())]

    async def _remove(self, takedown: int, work: Sequence[tuple[int, Sequence[int]]], reason: str) -> None:
        """Removes batches of pictures; with the last one of a job its owner is told."""
        storage = await self._tiers.storage(Tier.HOT)
        removed: Counter[int] = Counter()
        last = {job: number for number, (job, _) in enumerate(work)}
        for number, (job, ids) in enumerate(work):
            tell = partial(self._tell, job, removed[job], reason) if last[job] == number else None
            gone = await self._persist(partial(_withdraw, takedown=takedown, job=job, ids=ids, tell=tell))
            faults.reach("takedown.removed")
            removed[job] += len(gone)
            await delete_all(storage, [row.storage_key for row in gone if row.storage_key])

    async def _tell(self, job_id: int, before: int, reason: str, connection: AsyncConnection, now: int) -> None:
        job = await jobs.lock(connection, job_id)
        if job is not None and job.owner is not None and before + now:
            channels = self._config.channels
            await messages.tell_withdrawn(connection, job=job, pictures=before + now, reason=reason, channels=channels)

    async def _persist(self, book: Callable[[AsyncConnection], Awaitable[Value]]) -> Value:
        return await persist(self._engine, book, self._config.fence_seconds)


async def _withdraw(
    connection: AsyncConnection, takedown: int, job: int, ids: Sequence[int], tell: Tell | None
) -> list[Any]:
    gone = await withdrawing.withdraw(connection, takedown, job, ids)
    if tell is not None:
        await tell(connection, len(gone))
    return gone


def _by_job(pictures: Iterable[Picture]) -> Iterator[tuple[int, Sequence[int]]]:
    ids: dict[int, list[int]] = {}
    for each in sorted(pictures, key=lambda each: (each.job, each.id)):
        ids.setdefault(each.job, []).append(each.id)
    return ((job, some) for job, all_of_it in ids.items() for some in _batches(all_of_it))


def _batches(rows: Sequence[Value]) -> list[Sequence[Value]]:
    return [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
