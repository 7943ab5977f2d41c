"""Puts the bytes, as they were served, under a name made from their SHA-256."""

from __future__ import annotations

import asyncio
from functools import cached_property

from pixcrawler import faults
from pixcrawler.config import config
from pixcrawler.crawling import Rejected
from pixcrawler.errors import StorageFailed
from pixcrawler.items import ImageItem
from pixcrawler.jobs import Reason
from pixcrawler.local_ledger import LocalLedger
from pixcrawler.metrics import UPLOAD_SECONDS
from pixcrawler.pipelines.component import Component
from pixcrawler.storage import Storage, open_storage
from pixcrawler.storage.local import LocalStorage


class UploadPipeline(Component):
    """It should only: return the item, stored and without its body; raise `Rejected`; or end the run."""

    async def process_item(self, item: ImageItem) -> ImageItem:
        assert item.inspection is not None
        assert item.body is not None
        item.storage_key = self._key(item.inspection.sha256, item.inspection.extension)
        if not self.ledger.may_write:
            raise Rejected(Reason.CANCELLED)
        try:
            storage = await asyncio.shield(self._storage)
            with UPLOAD_SECONDS.labels(item.source).time():
                kind = f"image/{item.inspection.format}"
                item.storage_url = await storage.put(item.storage_key, item.body, kind, self.ledger.run.trace)
        except StorageFailed as error:
            self.spider.give_up(error)
            raise Rejected(Reason.CANCELLED) from error
        faults.reach("crawl.stored")
        item.body = None
        return item

    def _key(self, sha256: str, extension: str) -> str:
        return f"{self.ledger.run.storage_prefix}/images/{sha256[:2]}/{sha256}.{extension}".lstrip("/")

    @cached_property
    def _storage(self) -> asyncio.Task[Storage]:
        return asyncio.create_task(asyncio.to_thread(self._open))  # it may have to wait for the store

    def _open(self) -> Storage:
        if isinstance(self.ledger, LocalLedger):
            return LocalStorage(self.ledger.folder)
        return open_storage(config())
