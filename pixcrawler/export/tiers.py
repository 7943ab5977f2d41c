"""The storages of the tiers, each opened when it is needed first."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from pixcrawler.config import Config
from pixcrawler.errors import StorageFailed
from pixcrawler.jobs import Tier
from pixcrawler.storage import Storage, open_storage

logger = logging.getLogger(__name__)


class Tiers:
    """Where pictures and datasets are."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._opened: dict[Tier, Storage] = {}

    async def storage(self, tier: Tier) -> Storage:
        """The storage of a tier. Raises `UsageError` if it cannot be reached or written."""
        if tier not in self._opened:
            self._opened[tier] = await asyncio.to_thread(open_storage, self._config, tier)
        return self._opened[tier]


async def delete_all(storage: Storage, keys: Iterable[str]) -> bool:
    """Deletes what nobody needs. False: something may be left, which is logged; only space is lost."""
    done = True
    for key in keys:
        try:
            await storage.delete(key)
        except StorageFailed as error:
            logger.error("%s is not needed and cannot be deleted: %s", key, error)
            done = False
    return done
