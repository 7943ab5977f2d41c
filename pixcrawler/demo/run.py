"""The demo: everything on this machine, against a source of its own, from a job to a dataset."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import zipfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.config import BASE_URL_PREFIX, Config
from pixcrawler.db import crawl_jobs, overview
from pixcrawler.db.embedded import database
from pixcrawler.db.engine import create, transaction
from pixcrawler.db.overview import Overview
from pixcrawler.demo.catalogue import KEYWORDS
from pixcrawler.demo.replicas import Replica, replica_of
from pixcrawler.demo.replicas.serving import serving
from pixcrawler.demo.source import DemoSource
from pixcrawler.errors import UsageError
from pixcrawler.export.contact_sheet import INDEX
from pixcrawler.jobs import ExportState
from pixcrawler.services import calm_exit, free_port, local_parts, supervise
from pixcrawler.sources import catalogue
from pixcrawler.storage import open_storage

IMAGES = 120

Watch = Callable[[str, int], Awaitable[Overview]]  # shows the job at this database until it has ended


@dataclass(frozen=True)
class Made:
    """How the demo's job ended, and what it brought."""

    seen: Overview
    archive: Path | None = None
    contact_sheet: Path | None = None


@dataclass(frozen=True)
class Stage:
    """What the demo's job is to crawl: its sources and keywords, and what crawls must know to find them."""

    keywords: list[str]
    options: dict[str, Any]
    environment: dict[str, str]


def replicas_of(sources: Sequence[str]) -> list[Replica]:
    """The replicas of sources, each once. Raises `UsageError` for one there is none of."""
    known = catalogue()
    for name in sources:
        if name not in known or known[name].needs_list:
            there = ", ".join(name for name, source in known.items() if not source.needs_list)
            raise UsageError(f"--sources: the demo has no {name!r}; it has {there}")
    return [replica_of(name) for name in dict.fromkeys(sources)]


def make_dataset(config: Config, watch: Watch, replicas: Sequence[Replica] = ()) -> Made:
    """Runs one job from beginning to end in a folder, a database and on a port of its own.

    It crawls these replicas, or else a source that has pictures of every good and bad kind.
    """
    changes = {
        "data_dir": config.data_dir / "demo",
        "database_url": None,
        "scrapyd_nodes": (f"http://127.0.0.1:{free_port()}#2",),
        "host": "127.0.0.1",
        "port": free_port(),
    }
    settings = config.model_copy(update=changes)
    logs = settings.data_dir / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(filename=logs / "demo.log", level=settings.log_level)
    with calm_exit(database(settings)) as url, _stage(settings, replicas) as stage:
        job = asyncio.run(_new_job(url, stage))
        stages = local_parts(settings, url, stage.environment)
        seen = asyncio.run(supervise(stages, logs, lambda: watch(url, job)))
    return asyncio.run(_unpack(settings, seen))


@contextmanager
def _stage(settings: Config, replicas: Sequence[Replica]) -> Iterator[Stage]:
    if replicas:
        with ExitStack() as served:
            yield _replica_stage([served.enter_context(serving(replica)) for replica in replicas])
        return
    with DemoSource() as source:
        options = {"sources": ["openverse", "urls"], "list": asyncio.run(_store_list(settings, source))}
        address = source.url.removeprefix("http://").rstrip("/")
        allowed = {BASE_URL_PREFIX + "OPENVERSE": source.url, "PIXCRAWLER_ALLOW_HOSTS": address}
        yield Stage(list(source.keywords), options, allowed)


def _replica_stage(replicas: Sequence[Replica]) -> Stage:
    names = [replica.source for replica in replicas]
    keys = {key.variable: "of-the-demo" for name in names if (key := catalogue()[name].key)}
    environment = {
        **{BASE_URL_PREFIX + replica.source.upper(): replica.url for replica in replicas},
        **keys,
        "PIXCRAWLER_ACCEPT_TERMS": ",".join(names),
        "PIXCRAWLER_ALLOW_HOSTS": ",".join(replica.url.removeprefix("http://") for replica in replicas),
    }
    return Stage(list(KEYWORDS), {"sources": names}, environment)


async def _new_job(url: str, stage: Stage) -> int:
    engine = create(url, application_name="pixcrawler demo", pool_size=1)
    try:
        async with transaction(engine) as connection:
            await _cancel_earlier(connection)
            project, *_ = await overview.project_ids(connection)
            return await crawl_jobs.create(
                connection,
                project_id=project,
                name="Demo",
                keywords=stage.keywords,
                max_images=IMAGES,
                options=stage.options,
            )
    finally:
        await engine.dispose()


async def _cancel_earlier(connection: AsyncConnection) -> None:
    """Gives up jobs of interrupted demos: their source is gone."""
    for job in await overview.all_jobs(connection):
        if not job.over:
            await crawl_jobs.ask_cancel(connection, job.id)


async def _store_list(settings: Config, source: DemoSource) -> str:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "demo.csv"
        source.write_list(path)
        key = f"lists/{hashlib.sha256(path.read_bytes()).hexdigest()}{path.suffix}"
        await open_storage(settings).put_file(key, path, "text/csv")
    return key


async def _unpack(settings: Config, seen: Overview) -> Made:
    """Copies the dataset out of storage, and unpacks it so that its contact sheet finds the pictures."""
    done = [export for export in seen.exports if export.state == ExportState.DONE and export.key]
    if not done:
        return Made(seen)
    folder = settings.data_dir / f"dataset-{seen.job.id}"
    folder.mkdir(parents=True, exist_ok=True)
    archive, unpacked = folder / "dataset.zip", folder / "dataset"
    assert done[-1].key
    await open_storage(settings).fetch_file(done[-1].key, archive)
    with zipfile.ZipFile(archive) as dataset:
        dataset.extractall(unpacked)
    return Made(seen, archive, unpacked / INDEX)
