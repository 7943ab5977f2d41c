"""Kept pictures made small enough to be looked at by the hundred.

They are decoded in confined worker processes, and kept in memory alone: what is taken down leaves no copy behind.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from enum import Enum
from functools import partial
from typing import NamedTuple

from pixcrawler.containers import format_of
from pixcrawler.export_options import Encode
from pixcrawler.inspectors import Inspectors
from pixcrawler.rewriting import Recipe, credible, rewrite
from pixcrawler.storage import Storage

MEMORY = 64 * 2**20  # bytes of all that are kept; five thousand small ones
AT_ONCE = 4  # originals in memory, of 25 MiB at most each


class Size(Enum):
    """How large, by the pixels of the longer side at most."""

    SMALL = 360  # of a tile, on a screen with two pixels to a point
    LARGE = 1600


class Thumbnail(NamedTuple):
    """A picture made small."""

    body: bytes
    format: str  # webp, or its own if it is as small


class Thumbnails:
    """Makes them, and remembers those made last."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._inspectors = Inspectors()
        self._room = asyncio.Semaphore(AT_ONCE)
        self._known: OrderedDict[tuple[str, Size], Thumbnail] = OrderedDict()
        self._bytes = 0

    async def get(self, key: str, size: Size) -> Thumbnail:
        """That of a picture in storage. Raises `StorageFailed`, or `NotAnImage` whatever the bytes."""
        place = (key, size)
        if place not in self._known:
            async with self._room:
                if place not in self._known:  # nobody else has made it meanwhile
                    self._keep(place, await self._make(await self._storage.get(key), size))
                return self._known[place]
        self._known.move_to_end(place)
        return self._known[place]

    async def _make(self, body: bytes, size: Size) -> Thumbnail:
        recipe = Recipe(None, size.value, Encode.WEBP, strip_metadata=True, quality=75)  # as browsers' users expect
        made = await self._inspectors.run(partial(rewrite, recipe), body, credible)
        return Thumbnail(made.body, made.format) if made else Thumbnail(body, format_of(body))

    def _keep(self, place: tuple[str, Size], made: Thumbnail) -> None:
        self._known[place] = made
        self._bytes += len(made.body)
        while self._bytes > MEMORY and len(self._known) > 1:
            self._bytes -= len(self._known.popitem(last=False)[1].body)

    async def close(self) -> None:
        """Ends the workers."""
        await self._inspectors.close()
