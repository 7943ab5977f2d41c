"""The decision: one guarded transaction that keeps pictures and books rejections, whatever else happens around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler import duplicates
from pixcrawler.db import attempts, candidates, fingerprints, images, jobs, locks
from pixcrawler.db.candidates import Decision
from pixcrawler.errors import LeaseLost
from pixcrawler.items import ImageItem
from pixcrawler.jobs import KEPT, JobState, Reason
from pixcrawler.naming import keyword_slug, member_name


class JobStopped(Exception):
    """The job is not crawling any more: nothing is kept, the books are closed."""


@dataclass(slots=True)
class Scope:
    """This process's replica of the pictures kept in a scope."""

    name: str
    bits: int
    index: duplicates.Index = field(default_factory=duplicates.Index)
    seq: int = 0

    async def refresh(self, connection: AsyncConnection) -> None:
        """Takes in what was kept since."""
        for row in await fingerprints.newer(connection, self.name, self.seq, duplicates.ALGORITHM):
            self.index.add(row.sha256, duplicates.to_unsigned(row.phash[0]) if row.phash else None)
            self.seq = row.seq


@dataclass(frozen=True, slots=True)
class Claim:
    """The attempt that writes."""

    job: int
    run: int
    attempt: int
    generation: int
    slugs: Mapping[str, str]  # keyword → folder


async def guard(connection: AsyncConnection, claim: Claim, *, write: bool) -> Any:
    """Locks job and attempt; the job's row. Raises `JobStopped` or `LeaseLost`: a zombie writes nothing."""
    job = await (jobs.lock if write else jobs.share)(connection, claim.job)
    attempt = await attempts.lock(connection, claim.run, claim.attempt, read=not write)
    if attempt is None or attempt.state != "running" or attempt.lapsed:
        raise LeaseLost(f"attempt {claim.run}-{claim.attempt} is not ours any more")
    if job is None or job.state != JobState.CRAWLING or job.generation != claim.generation:
        raise JobStopped
    return job


async def decide(
    connection: AsyncConnection,
    claim: Claim,
    scope: Scope,
    room: Mapping[str, int],
    stored: Sequence[ImageItem],
    rejected: Sequence[Decision],
) -> dict[str, str]:
    """Decides stored pictures, first come first kept, and books rejections. Returns the decision per key.

    `room` is how many pictures each keyword still wants. Safe to repeat after a commit of unknown outcome.
    """
    await locks.take(connection, scope.name)
    job = await guard(connection, claim, write=True)
    await scope.refresh(connection)
    known = await candidates.lock(connection, claim.run, [item.key for item in stored])
    decided = {key: decision for key, decision in known.items() if decision is not None}
    kept, refused = _choose(scope, room, job.asked - job.kept, [i for i in stored if i.key not in decided])
    decisions = [*rejected, *(Decision(item.key, reason, "", received=True) for item, reason in refused)]
    if kept:
        image_ids = await _keep(connection, claim, scope, kept, job.kept)
        decisions += [
            Decision(item.key, KEPT, "", received=True, image_id=image_id)
            for item, image_id in zip(kept, image_ids, strict=True)
        ]
    await candidates.decide(connection, claim.run, decisions)
    await attempts.count_decided(connection, claim.run, claim.attempt, len(decisions))
    return decided | {decision.key: decision.decision for decision in decisions}


def _choose(
    scope: Scope, room: Mapping[str, int], room_in_job: int, stored: Sequence[ImageItem]
) -> tuple[list[ImageItem], list[tuple[ImageItem, Reason]]]:
    batch = duplicates.Index()
    left = dict(room)
    kept: list[ImageItem] = []
    refused: list[tuple[ImageItem, Reason]] = []
    for item in stored:
        look = item.inspection
        assert look is not None
        phash = look.telling_phash
        duplicate = scope.index.find(look.sha256, phash, scope.bits) or batch.find(look.sha256, phash, scope.bits)
        if duplicate is not None:
            refused.append((item, duplicate))
        elif len(kept) >= room_in_job or left.get(item.keyword, 0) <= 0:
            refused.append((item, Reason.OVER_QUOTA))
        else:
            left[item.keyword] -= 1
            batch.add(look.sha256, phash)
            kept.append(item)
    return kept, refused


async def _keep(
    connection: AsyncConnection, claim: Claim, scope: Scope, kept: Sequence[ImageItem], before: int
) -> list[int]:
    if not await jobs.count_kept(connection, claim.job, len(kept)):
        raise AssertionError("more pictures than asked, under the job's own lock")
    image_ids = await images.add(
        connection, [_image_row(claim, item, position) for position, item in enumerate(kept, before + 1)]
    )
    rows = [_fingerprint(claim, scope, item, id_) for item, id_ in zip(kept, image_ids, strict=True)]
    await fingerprints.add(connection, rows)
    return image_ids


def _image_row(claim: Claim, item: ImageItem, position: int) -> dict[str, Any]:
    look = item.inspection
    assert look is not None
    slug = claim.slugs.get(item.keyword) or keyword_slug(item.keyword)
    filename = member_name(slug, position, look.sha256, look.extension)
    return images.row(item, job=claim.job, filename=filename, position=position, run=claim.run)


def _fingerprint(claim: Claim, scope: Scope, item: ImageItem, image_id: int) -> dict[str, Any]:
    look = item.inspection
    assert look is not None
    return {
        "scope": scope.name,
        "job": claim.job,
        "image_id": image_id,
        "sha256": look.sha256,
        "phash": [] if look.flat else [duplicates.to_signed(look.phash)],
        "algorithm": duplicates.ALGORITHM,
    }
