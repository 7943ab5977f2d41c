"""Retention: datasets move to the warm tier, and what is temporary goes, when the time has come that is configured."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from pixcrawler.config import Config
from pixcrawler.db import jobs, retiring
from pixcrawler.db.engine import transaction
from pixcrawler.errors import ExportFailed
from pixcrawler.export.building import Builder
from pixcrawler.export.ordering import ask_move
from pixcrawler.export.tiers import Tiers, delete_all
from pixcrawler.jobs import Tier

LISTS = "lists/"


@dataclass(frozen=True, slots=True)
class Due:
    """What retention does now."""

    cooling: list[int]  # jobs whose dataset moves to the warm tier
    exports: list[Any]  # rows whose files go
    lists: list[str]  # storage keys

    def __bool__(self) -> bool:
        return bool(self.cooling or self.exports or self.lists)


class Retention:
    """Says what is due, and does it."""

    def __init__(self, engine: AsyncEngine, config: Config, tiers: Tiers) -> None:
        self._engine = engine
        self._config = config
        self._tiers = tiers

    async def due(self) -> Due:
        """What is to move or to go by the settings; nothing where they are unset."""
        warm, temporary = self._config.warm_after_days, self._config.temporary_days
        async with transaction(self._engine) as connection:
            cooling = await retiring.cooling(connection, warm) if warm else []
            old = await retiring.temporary(connection, temporary) if temporary else []
        return Due(cooling, old, await self._old_lists(temporary) if temporary else [])

    async def carry_out(self, due: Due) -> None:
        """Asks for the moves, which exporters make, and deletes the rest. May be ended and repeated at any time."""
        for job in due.cooling:
            with suppress(ExportFailed):  # it was taken up again meanwhile
                async with transaction(self._engine) as connection:
                    await ask_move(connection, job, Tier.WARM)
        for export in due.exports:
            async with transaction(self._engine) as connection:
                await jobs.lock(connection, export.job)
                await retiring.retire(connection, export.id)
        if due.lists:
            await delete_all(await self._tiers.storage(Tier.HOT), due.lists)
        await Builder(self._engine, self._config, self._tiers).delete_removed()

    async def _old_lists(self, days: int) -> list[str]:
        async with transaction(self._engine) as connection:
            then = (await connection.execute(select(func.now()))).scalar_one() - timedelta(days=days)
        storage = await self._tiers.storage(Tier.HOT)
        old = [entry.key async for entry in storage.entries(LISTS) if entry.modified_at < then]
        async with transaction(self._engine) as connection:
            used = await retiring.lists_in_use(connection)
        return [key for key in old if key not in used]
