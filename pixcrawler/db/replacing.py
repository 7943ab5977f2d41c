"""A better copy takes the place of a kept picture: what becomes of the old one's rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db.candidates import funnel
from pixcrawler.db.crawler import candidates, runs
from pixcrawler.db.public import images
from pixcrawler.db.runs import recount
from pixcrawler.db.scopes import Original
from pixcrawler.jobs import KEPT, UNFINISHED_RUNS, Reason


async def retire(connection: AsyncConnection, ids: Sequence[int]) -> dict[int, Any]:
    """Marks images as duplicates. Returns their metadata, by id."""
    if not ids:
        return {}
    statement = update(images).where(images.c.id.in_(ids)).values(is_duplicate=True)
    return {row[0]: row[1] for row in await connection.execute(statement.returning(images.c.id, images.c.metadata))}


async def replace(connection: AsyncConnection, job: int, run: int, original: Original, by: int) -> Any:
    """Moves a count of a run from kept to replaced, in its funnel too if it has ended (run, keyword, item)."""
    kept = (candidates.c.job == job) & (candidates.c.run == run) & (candidates.c.decision == KEPT)
    about = {"duplicate_of": by, "distance": original.match.distance, "likeness": original.match.likeness}
    statement = update(candidates).where(kept, candidates.c.image_id == original.image)
    statement = statement.values(decision=Reason.REPLACED, **about)
    row = (await connection.execute(statement.returning(*candidates.c["run", "keyword", "item"]))).one()
    copies = (candidates.c.job == job) & (candidates.c.duplicate_of == original.image)
    await connection.execute(update(candidates).where(copies).values(duplicate_of=by))
    ended = select(runs.c.id).where(runs.c.id == run, runs.c.state.not_in(UNFINISHED_RUNS))
    if await connection.scalar(ended):
        await recount(connection, run, await funnel(connection, run))
    return row
