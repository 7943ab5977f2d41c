"""The pictures kept in a scope, as a crawl process knows them: codes in a replica, fingerprints when asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db import fingerprints
from pixcrawler.duplicates import ALGORITHM, UNSEEN, Index, Mark, Match, Proposals, Standing, Wanted, nearest
from pixcrawler.items import ImageItem, Inspection
from pixcrawler.jobs import Extent, Reason

PAGE = 20_000  # rows taken in at once: 5 MB on their way
FEW = 4096  # new rows, with which many pictures are compared in one go


@dataclass(frozen=True, slots=True)
class Original:
    """A kept picture that another one is a copy of."""

    match: Match
    job: int
    image: int
    standing: Standing


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of a look into the replica, and how far it went."""

    mark: Mark = UNSEEN
    original: Original | None = None


@dataclass(slots=True)
class Proposed:
    """Whom a picture may be a copy of, before anybody has looked at fingerprints."""

    same: list[int]
    near: list[Proposals]

    @property
    def numbers(self) -> set[int]:
        return {*self.same, *(number for some in self.near for number in some.numbers.tolist())}


@dataclass(slots=True)
class Scope:
    """This process's replica of the pictures kept in a scope."""

    name: str = ""
    wanted: Wanted = field(default_factory=Wanted)
    index: Index = field(default_factory=Index)
    seq: int = 0
    alone: bool = False  # nobody else has added anything lately

    async def refresh(self, connection: AsyncConnection) -> None:
        """Takes in what was kept since."""
        rows: list[Any] = [None] * PAGE
        before = self.seq
        while len(rows) == PAGE:
            rows = await fingerprints.newer(connection, self.name, self.seq, algorithm=ALGORITHM, limit=PAGE)
            self.index.add([(row.seq, row.sha256, row.codes) for row in rows])
            self.seq = rows[-1].seq if rows else self.seq
        self.alone = self.seq == before

    def take_in(self, added: Sequence[tuple[int, str, bytes]]) -> None:
        """Takes in what this process itself has added under the scope's lock, right after a `refresh`."""
        if added and added[0][0] > self.seq:
            self.index.add(added)
            self.seq = added[-1][0]

    def propose(self, look: Inspection, since: Mark = UNSEEN) -> Proposed:
        """Whom it may be a copy of, of those kept since."""
        if not len(self.index):
            return Proposed([], [])
        same = self.index.same(look.sha256, since)
        preset = self.wanted.preset
        if look.looks is None or not preset.rules or since == self.index.mark:
            return Proposed(same, [])
        ways = (False, True) if self.wanted.flips else (False,)
        near = [self.index.near(look.looks, preset, since, flipped=flipped) for flipped in ways]
        return Proposed(same, [some for some in near if len(some.numbers)])

    async def judge(self, connection: AsyncConnection, look: Inspection, proposed: Proposed) -> Original | None:
        """Which of the proposed ones it is a copy of, by their fingerprints."""
        rows = await fingerprints.get(connection, self.name, proposed.numbers) if proposed.numbers else {}
        return self._pick(look, proposed, rows)

    def _pick(self, look: Inspection, proposed: Proposed, rows: Mapping[int, Any]) -> Original | None:
        match = self._exact(look, proposed, rows) or self._near(look, proposed, rows)
        return _original(match, rows[match.number]) if match else None

    def _exact(self, look: Inspection, proposed: Proposed, rows: Mapping[int, Any]) -> Match | None:
        numbers = [number for number in proposed.same if number in rows and rows[number].sha256 == look.sha256]
        return Match(Reason.DUPLICATE_BYTES, numbers[0]) if numbers else None

    def _near(self, look: Inspection, proposed: Proposed, rows: Mapping[int, Any]) -> Match | None:
        prints = {number: row.fingerprint for number, row in rows.items()}
        assert look.looks is not None or not proposed.near
        found = [nearest(self.wanted.preset, look.looks, some, prints) for some in proposed.near if look.looks]
        return max(filter(None, found), key=lambda match: match.likeness or 0, default=None)

    async def look_again(
        self, connection: AsyncConnection, items: Sequence[ImageItem], seen: Mapping[str, Seen]
    ) -> dict[str, Seen]:
        """What came of a look at all that is in the replica now, given what came of earlier ones."""
        earlier = {item.key: seen.get(item.key, Seen()) for item in items}
        numbers = {each.original.match.number for each in earlier.values() if each.original}
        there = await fingerprints.get(connection, self.name, numbers) if numbers else {}
        before = {
            key: Seen() if each.original and each.original.match.number not in there else each
            for key, each in earlier.items()
        }
        looks = {item.key: item.inspection for item in self._suspects(items, before) if item.inspection}
        proposed = {key: self.propose(look, before[key].mark) for key, look in looks.items()}
        wanted = {number for each in proposed.values() for number in each.numbers}
        rows = await fingerprints.get(connection, self.name, wanted) if wanted else {}
        found = {key: self._pick(look, proposed[key], rows) for key, look in looks.items()}
        return {item.key: Seen(self.index.mark, before[item.key].original or found.get(item.key)) for item in items}

    def _suspects(self, items: Sequence[ImageItem], before: Mapping[str, Seen]) -> list[ImageItem]:
        """Those that have to be looked at one by one."""
        now = self.index.mark
        open_ones = [item for item in items if before[item.key].original is None and before[item.key].mark != now]
        oldest = min((before[item.key].mark for item in open_ones), default=now)
        if now.exact - oldest.exact > FEW:
            return open_ones
        looks = [item.inspection for item in open_ones if item.inspection]
        suspects = self.index.suspects(looks, self.wanted, oldest) if looks else []
        return [item for item, suspect in zip(open_ones, suspects, strict=True) if suspect]


def _original(match: Match, row: Any) -> Original:
    return Original(match, row.job, row.image_id, Standing(row.pixels, row.freedom, row.credited))


def name_of(extent: Extent, job: Any) -> str:
    """Of a job's scope; what has no project or owner any more is alone."""
    if extent is Extent.PROJECT and job.project_id is not None:
        return f"project:{job.project_id}"
    if extent is Extent.OWNER and job.owner is not None:
        return f"owner:{job.owner}"
    return f"job:{job.id}"
