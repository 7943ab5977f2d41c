"""The event loop of crawl processes, where there is a faster one than Python's own."""

from __future__ import annotations

import asyncio

import uvloop


class Loop(uvloop.Loop):
    """uvloop's. Scrapy makes Python's own first, to see what it has, and leaves that behind: here it is closed."""

    def __init__(self) -> None:
        super().__init__()
        asyncio.get_event_loop().close()
