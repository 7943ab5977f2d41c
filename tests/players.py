"""Dispatchers and an exporter at work, and a crawl process played for every attempt that a loopback node starts."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from machines import tiny
from worlds import Node, World, ledger

from pixcrawler import dispatcher
from pixcrawler.config import Config
from pixcrawler.db.ledger import PostgresLedger
from pixcrawler.export import loop as exporter
from pixcrawler.items import ImageItem, Inspection
from pixcrawler.jobs import AttemptState, Outcome, Reason, Spent
from pixcrawler.sources import catalogue
from pixcrawler.storage import Storage, open_storage

PATIENCE = 60.0  # seconds; a stuck job fails its test instead of the suite
BEAT = 0.01  # seconds between two looks

Play = Callable[[PostgresLedger], Awaitable[Any]]

HISTORY = """
CREATE TABLE history (at timestamptz DEFAULT clock_timestamp(), job integer, generation integer, state text);
CREATE FUNCTION remember() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO history (job, generation, state) VALUES (NEW.id, NEW.generation, NEW.state); RETURN NULL; END $$;
CREATE TRIGGER remember AFTER INSERT OR UPDATE OF state ON crawler.jobs FOR EACH ROW EXECUTE FUNCTION remember();
"""

QUICK = {"poll_seconds": 0.02, "projection_seconds": 0.05, "retry_seconds": 0.01}


def quick(url: str, node: Node, folder: Path, slots: int, **more: Any) -> Config:
    """The settings of dispatchers that do not take their time, and of owners who may do nearly everything at once."""
    settings: dict[str, Any] = {
        "database_url": url,
        "data_dir": folder,
        "scrapyd_nodes": (f"{node.url}#{slots}",),
        "default_sources": ("openverse",),
        "source_limits": ("openverse:1000",),  # as if it were a server of ours
        "job_limits": ("0:1000",),
    }
    return Config(**settings | QUICK | more)


class Mortal(Node):
    """A node that tells its played crawls what it is told: INT (`interrupted`), and KILL, which ends them."""

    def __init__(self) -> None:
        super().__init__()
        self.arguments: list[dict[str, str]] = []  # of every request for a crawl
        self.interrupted: set[str] = set()
        self.killed: set[str] = set()

    def answer(self, service: str, values: dict[str, str]) -> dict[str, Any]:
        if service == "schedule.json":
            self.arguments.append(dict(values))
        elif service == "cancel.json" and self.states.get(values["job"]) == "running":
            (self.killed if values["signal"] == "KILL" else self.interrupted).add(values["job"])
        return super().answer(service, values)


@asynccontextmanager
async def at_work(
    world: World, play: Play, *nodes: Mortal, dispatchers: int = 1, exporters: int = 1, **changes: Any
) -> AsyncIterator[None]:
    """Everything but the crawl processes is real. What a part raises comes out at the end."""
    settings = world.settings.model_copy(update=changes)
    assert settings.database_url is not None
    url = settings.database_url.get_secret_value()
    stop = asyncio.Event()
    stages = [asyncio.create_task(_play_all(settings, node, play)) for node in nodes]
    parts = [
        asyncio.create_task(dispatcher.run(url, settings, stop, catalogue=catalogue())) for _ in range(dispatchers)
    ]
    parts += [asyncio.create_task(exporter.run(url, settings, stop)) for _ in range(exporters)]
    try:
        yield
    finally:
        stop.set()
        ends = await asyncio.gather(*parts, return_exceptions=True)
        for stage in stages:
            stage.cancel()
        ends += await asyncio.gather(*stages, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):
            raise end


async def _play_all(settings: Config, node: Mortal, play: Play) -> None:
    begun = len(node.scheduled)
    async with asyncio.TaskGroup() as crawls:
        while True:
            for attempt in node.scheduled[begun:]:
                begun += 1
                if node.starts == "running":
                    crawls.create_task(_play(settings, node, attempt, play))
            await asyncio.sleep(BEAT)


async def _play(settings: Config, node: Mortal, attempt: str, play: Play) -> None:
    """One crawl process, until it ends by itself or is killed."""

    async def life() -> None:
        async with ledger(settings, attempt) as book:
            await play(book)

    task = asyncio.create_task(life())
    try:
        while not task.done() and attempt not in node.killed:
            await asyncio.wait([task], timeout=BEAT)
    finally:
        killed = not task.done() and task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        node.states[attempt] = "finished"
        assert not killed or attempt in node.killed


async def until(what: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Waits for something true that a look into the database tells."""
    deadline = time.monotonic() + seconds
    while not (result := await asyncio.to_thread(what)):
        assert time.monotonic() < deadline, f"it did not happen within {seconds:.0f} s"
        await asyncio.sleep(BEAT)
    return result


async def put(storage: Storage, folder: str, item: ImageItem) -> ImageItem:
    """The item as download and upload leave it, with real bytes: those of the picture whose number its address has."""
    body = tiny(int(re.findall(r"\d+", item.url)[-1]))
    sha256 = hashlib.sha256(body).hexdigest()
    item.inspection = Inspection(sha256, len(body), "jpeg", 64, 64, 1, int(sha256[:16], 16), flat=False)
    item.received = True
    item.storage_key = f"{folder}/images/{sha256[:2]}/{sha256}.jpg"
    item.storage_url = await storage.put(item.storage_key, body, "image/jpeg")
    return item


async def bring(
    settings: Config, book: PostgresLedger, items: Sequence[ImageItem], cursor: Any = 2, spent: Spent | None = None
) -> list[Reason | None]:
    """Books a page, fetches what is new on it, and keeps that."""
    todo = await book.add_page(items[0].keyword, items, cursor, spent)
    await book.begin(todo)
    storage = open_storage(settings)
    stored = [await put(storage, book.run.storage_prefix, item) for item in todo]
    return list(await asyncio.gather(*(book.keep(item) for item in stored)))


async def close(book: PostgresLedger) -> None:
    """Ends as a crawl ends that has brought what it could."""
    missing = any(book.missing(keyword) for keyword in book.run.slices)
    await book.close(Outcome(AttemptState.SHORT, "had no more") if missing else Outcome(AttemptState.SUCCEEDED))


def server_log(world: World) -> Callable[[], str]:
    """What PostgreSQL logs from now on."""
    file = Path(world.sql("SHOW data_directory")[0][0]) / "log"
    before = file.stat().st_size

    def since() -> str:
        with file.open("rb") as log:
            log.seek(before)
            return log.read().decode(errors="replace")

    return since
