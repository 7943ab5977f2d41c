"""What was taken back: `crawler.takedowns`, the fingerprints of the pictures, and what a crawl process knows of both.

Rows are added under a lock that whoever decides shares. So a takedown sees what was kept before it, and a decision
sees the takedowns before it; and numbers grow in the order in which they can be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db import locks
from pixcrawler.db.crawler import fingerprints, takedowns
from pixcrawler.db.scopes import Scope
from pixcrawler.duplicates import Wanted
from pixcrawler.items import ImageItem
from pixcrawler.likeness import PRESETS
from pixcrawler.takedowns import Kind, Subject, marks

SCOPE = "withdrawn"  # of the fingerprints; and the lock
# What resembles a picture that was taken back is found by the widest of the presets, whatever a job takes for a copy.
WANTED = Wanted(PRESETS["balanced"], flips=True)


@dataclass(slots=True)
class Withdrawn:
    """This process's replica of what was taken back."""

    scope: Scope = field(default_factory=lambda: Scope(SCOPE, WANTED))
    _marks: set[tuple[Kind, str]] = field(default_factory=set)
    _last: int = 0

    async def refresh(self, connection: AsyncConnection) -> None:
        """Takes in what was taken back since."""
        statement = select(*takedowns.c["id", "kind", "value"]).where(takedowns.c.id > self._last)
        for row in await connection.execute(statement.order_by(takedowns.c.id)):
            self._marks.add((Kind(row.kind), row.value))
            self._last = row.id
        await self.scope.refresh(connection)

    def names(self, item: ImageItem) -> bool:
        """Whether an item's address, page or creator was taken back."""
        return bool(self._marks) and not self._marks.isdisjoint(marks(item.facts()))

    async def among(self, connection: AsyncConnection, items: Sequence[ImageItem]) -> set[str]:
        """The keys of those that were taken back, until the end of the transaction."""
        await self.refresh(connection)
        seen = await self.scope.look_again(connection, items, {})
        return {item.key for item in items if seen[item.key].original or self.names(item)}


async def share(connection: AsyncConnection) -> None:
    """Lets nobody take anything back until the end of the transaction. The first lock of all."""
    await locks.share(connection, SCOPE)


async def book(connection: AsyncConnection, subject: Subject, *, reason: str, booked_by: str) -> int:
    """From now on nothing of it is kept. Returns the id; that of the first time, if it was taken back before."""
    await locks.take(connection, SCOPE)
    row = {"kind": subject.kind, "value": subject.value, "url": subject.url, "reason": reason, "booked_by": booked_by}
    await connection.execute(insert(takedowns).values(row).on_conflict_do_nothing())
    same = (takedowns.c.kind == subject.kind) & (takedowns.c.value == subject.value)
    return int((await connection.execute(select(takedowns.c.id).where(same))).scalar_one())


async def entomb(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> None:
    """Adds what pictures are known by; where only the bytes of one were, also how it looks."""
    await locks.take(connection, SCOPE)
    adding = insert(fingerprints)
    looks = {name: adding.excluded[name] for name in ("job", "image_id", "codes", "fingerprint", "algorithm")}
    statement = adding.on_conflict_do_update(
        constraint="fingerprints_exact",
        set_=looks | {"seq": text("DEFAULT")},
        where=(fingerprints.c.codes == b"") & (adding.excluded.codes != b""),
    )
    await connection.execute(statement, [row | {"scope": SCOPE} for row in rows])


async def count(connection: AsyncConnection, takedown: int, pictures: int) -> None:
    """Adds to what a takedown has removed."""
    more = {"removed": takedowns.c.removed + pictures}
    await connection.execute(update(takedowns).where(takedowns.c.id == takedown).values(more))


async def all_of_them(connection: AsyncConnection) -> list[Any]:
    """Every row, oldest first."""
    return list((await connection.execute(select(takedowns).order_by(takedowns.c.id))).all())
