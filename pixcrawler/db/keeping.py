"""The decision: one guarded transaction that keeps pictures and books rejections, whatever else happens around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db import attempts, candidates, fingerprints, images, jobs, locks, replacing, takedowns
from pixcrawler.db.candidates import Decision
from pixcrawler.db.scopes import Original, Scope, Seen
from pixcrawler.db.takedowns import Withdrawn
from pixcrawler.duplicates import ALGORITHM, Match, Standing
from pixcrawler.errors import LeaseLost
from pixcrawler.items import ImageItem
from pixcrawler.jobs import KEPT, JobState, Reason
from pixcrawler.naming import keyword_slug, member_name


class JobStopped(Exception):
    """The job is not crawling any more: nothing is kept, the books are closed."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The attempt that writes."""

    job: int
    run: int
    attempt: int
    generation: int
    slugs: Mapping[str, str]  # keyword → folder
    trace: str = ""  # of the job


@dataclass(slots=True)
class Decided:
    """What has been decided."""

    decisions: dict[str, str]  # of this run's candidates, by key
    vacated: list[tuple[int, str]] = field(default_factory=list)  # run and keyword of what was replaced
    added: list[tuple[int, str, bytes]] = field(default_factory=list)  # to the scope, as `Index.add` takes it


@dataclass(slots=True)
class Place:
    """One of the pictures asked for: a new one, or that of an original in place of which a better copy is kept."""

    item: ImageItem
    original: Original | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A picture that is not kept; for the sake of another one if it is a copy."""

    item: ImageItem
    reason: Reason
    original: Original | None = None
    place: Place | None = None
    match: Match | None = None  # with the picture in that place


async def guard(connection: AsyncConnection, claim: Claim, *, write: bool) -> Any:
    """Locks job and attempt; the job's row. Raises `JobStopped` or `LeaseLost`: a zombie writes nothing."""
    job = await (jobs.lock if write else jobs.share)(connection, claim.job)
    attempt = await attempts.lock(connection, claim.run, claim.attempt, read=not write)
    if attempt is None or attempt.state != "running" or attempt.lapsed:
        raise LeaseLost(f"attempt {claim.run}-{claim.attempt} is not ours any more")
    if job is None or job.state != JobState.CRAWLING or job.generation != claim.generation:
        raise JobStopped
    return job


def improves(claim: Claim, item: ImageItem, original: Original) -> bool:
    """Whether a copy is to be kept in place of its original: a better one, in the same job."""
    return original.job == claim.job and Standing.of(item).beats(original.standing)


async def decide(
    connection: AsyncConnection,
    claim: Claim,
    scope: Scope,
    withdrawn: Withdrawn,
    room: Mapping[str, int],
    stored: Sequence[ImageItem],
    rejected: Sequence[Decision],
    seen: Mapping[str, Seen],
    mates: Mapping[str, Mapping[str, Match]],
) -> Decided:
    """Decides stored pictures, first come first kept, and books rejections.

    `room` is how many pictures each keyword still wants, `seen` what came of looks before the lock, `mates` which of
    the stored pictures before it each one is a copy of. Safe to repeat after a commit of unknown outcome.
    """
    await takedowns.share(connection)
    await locks.take(connection, f"scope {scope.name}")
    job = await guard(connection, claim, write=True)
    await scope.refresh(connection)
    known = await candidates.lock(connection, claim.run, [item.key for item in stored])
    decided = {key: decision for key, decision in known.items() if decision is not None}
    undecided = [item for item in stored if item.key not in decided]
    taken_back = await withdrawn.among(connection, undecided)
    undecided = [item for item in undecided if item.key not in taken_back]
    choice = _Choice(dict(room), job.asked - job.kept)
    _choose(claim, choice, undecided, await scope.look_again(connection, undecided, seen), mates)
    made = Decided(decided)
    kept = await _keep(connection, claim, scope, choice.places, job.kept + job.withdrawn, made)
    renamed = {place.original.image: kept[place.item.key] for place in choice.places if place.original}
    decisions = [
        *(replace(each, duplicate_of=renamed.get(each.duplicate_of or 0, each.duplicate_of)) for each in rejected),
        *(_refused(claim, refusal, kept, renamed) for refusal in choice.refusals),
        *(Decision(key, Reason.WITHDRAWN, "", received=True) for key in sorted(taken_back)),
        *(Decision(place.item.key, KEPT, "", received=True, image_id=kept[place.item.key]) for place in choice.places),
    ]
    await candidates.decide(connection, claim.run, decisions)
    await images.merge(
        connection, [(d.duplicate_of, d.also_found) for d in decisions if d.duplicate_of and d.also_found]
    )
    await attempts.count_decided(connection, claim.run, claim.attempt, len(decisions))
    made.decisions |= {decision.key: decision.decision for decision in decisions}
    return made


@dataclass(slots=True)
class _Choice:
    """What is to be done with the pictures of one transaction."""

    room: dict[str, int]  # by keyword
    room_in_job: int
    places: list[Place] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    by_key: dict[str, Place] = field(default_factory=dict)  # of every picture that has, or had, a place
    by_image: dict[int, Place] = field(default_factory=dict)  # of those that are replaced

    def take(self, item: ImageItem) -> None:
        """A place of its own, if there is room."""
        if self.room.get(item.keyword, 0) <= 0 or self.room_in_job <= 0:
            self.refusals.append(Refusal(item, Reason.OVER_QUOTA))
            return
        self.room[item.keyword] -= 1
        self.room_in_job -= 1
        self._settle(item, Place(item))

    def take_over(self, item: ImageItem, original: Original) -> None:
        """The place of a kept picture."""
        place = self.by_image[original.image] = Place(item, original)
        self._settle(item, place)

    def compete(self, item: ImageItem, place: Place, match: Match) -> None:
        """The better of two copies has the place, whose keyword stays the same."""
        loser = item
        if item.keyword == place.item.keyword and Standing.of(item).beats(Standing.of(place.item)):
            loser, place.item = place.item, item
            self.by_key[item.key] = place
        self.refusals.append(Refusal(loser, match.reason, place=place, match=match))

    def _settle(self, item: ImageItem, place: Place) -> None:
        self.places.append(place)
        self.by_key[item.key] = place


def _choose(
    claim: Claim,
    choice: _Choice,
    stored: Sequence[ImageItem],
    seen: Mapping[str, Seen],
    mates: Mapping[str, Mapping[str, Match]],
) -> None:
    for item in stored:
        original = seen[item.key].original
        mate = next((key for key in mates.get(item.key, ()) if key in choice.by_key), None)
        if original is not None and original.image in choice.by_image:
            choice.compete(item, choice.by_image[original.image], original.match)
        elif original is not None and improves(claim, item, original):
            choice.take_over(item, original)
        elif original is not None:
            choice.refusals.append(Refusal(item, original.match.reason, original))
        elif mate is not None:
            choice.compete(item, choice.by_key[mate], mates[item.key][mate])
        else:
            choice.take(item)


def _refused(claim: Claim, refusal: Refusal, kept: Mapping[str, int], renamed: Mapping[int, int]) -> Decision:
    about = Decision(refusal.item.key, refusal.reason, "", received=True)
    if refusal.original:
        original = replace(refusal.original, image=renamed.get(refusal.original.image, refusal.original.image))
        return as_copy(about, claim, refusal.item, original)
    if refusal.place and refusal.match:
        standing = Standing.of(refusal.place.item)
        original = Original(refusal.match, claim.job, kept[refusal.place.item.key], standing)
        return as_copy(about, claim, refusal.item, original)
    return about


def as_copy(about: Decision, claim: Claim, item: ImageItem, original: Original) -> Decision:
    """The decision on a copy: which picture is kept instead, and what that one is told of it."""
    return replace(
        about,
        duplicate_of=original.image,
        distance=original.match.distance,
        likeness=original.match.likeness,
        also_found=images.sighting(item.facts()) if original.job == claim.job else None,
    )


async def _keep(
    connection: AsyncConnection, claim: Claim, scope: Scope, places: Sequence[Place], before: int, made: Decided
) -> dict[str, int]:
    """Writes images and fingerprints. Returns image ids by key."""
    if not places:
        return {}
    new = [place for place in places if not place.original]
    better = [place for place in places if place.original]
    if not await jobs.count_kept(connection, claim.job, len(new)):
        raise AssertionError("more pictures than asked, under the job's own lock")
    old = await replacing.retire(connection, [place.original.image for place in better if place.original])
    rows = [_image_row(claim, place.item, position) for position, place in enumerate(new, before + 1)]
    rows += [
        _image_row(claim, place.item, metadata["position"], metadata.get("also_found", ()))
        for place, metadata in ((place, old[place.original.image]) for place in better if place.original)
    ]
    ids = await images.add(connection, rows)
    kept = {place.item.key: id_ for place, id_ in zip((*new, *better), ids, strict=True)}
    if new:
        rows = [_fingerprint(claim, scope, place.item, kept[place.item.key]) for place in new]
        numbers = await fingerprints.add(connection, rows)
        made.added = [(numbers[row["sha256"]], row["sha256"], row["codes"]) for row in rows]
    for place in better:
        assert place.original is not None
        its, image = place.original, kept[place.item.key]
        row = _fingerprint(claim, scope, place.item, image)
        await fingerprints.replace(connection, scope.name, its.match.number, row)
        before_it = await replacing.replace(connection, claim.job, old[its.image]["run"], its, image)
        await images.merge(connection, [(image, images.sighting(before_it.item))])
        made.vacated.append((before_it.run, before_it.keyword))
    return kept


def _image_row(
    claim: Claim, item: ImageItem, position: int, also_found: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    look = item.inspection
    assert look is not None
    slug = claim.slugs.get(item.keyword) or keyword_slug(item.keyword)
    filename = member_name(slug, position, look.sha256, look.extension)
    return images.row(
        item,
        job=claim.job,
        filename=filename,
        position=position,
        run=claim.run,
        trace=claim.trace,
        also_found=list(also_found),
    )


def _fingerprint(claim: Claim, scope: Scope, item: ImageItem, image_id: int) -> dict[str, Any]:
    look = item.inspection
    assert look is not None
    standing = Standing.of(item)
    return {
        "scope": scope.name,
        "job": claim.job,
        "image_id": image_id,
        "sha256": look.sha256,
        "codes": look.looks.codes if look.looks else b"",
        "fingerprint": look.looks.fingerprint if look.looks else b"",
        "algorithm": ALGORITHM,
        "pixels": standing.pixels,
        "freedom": standing.freedom,
        "credited": standing.credited,
    }
