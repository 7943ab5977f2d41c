"""Pictures on their way into a dataset: read ahead of the packing, checked, rewritten if that was asked for."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from threading import Thread
from typing import Self, TypeVar

from pixcrawler.errors import ExportFailed, PixCrawlerError, StorageFailed
from pixcrawler.export.dataset import DatasetImage
from pixcrawler.export_options import ExportOptions
from pixcrawler.inspectors import Inspectors
from pixcrawler.rewriting import EXTENSIONS, Recipe, Rewritten, credible, rewrite
from pixcrawler.storage.faults import cause

AHEAD = 4  # pictures; more hide no more of the storage's delay than memory is worth
REWRITE_SECONDS = 60  # of computing; the slowest encoder needs a third of it for the largest picture

Read = Callable[[str], bytes]  # the bytes of a storage key
In = TypeVar("In")
Out = TypeVar("Out")


def ahead(work: Callable[[In], Out], things: Iterable[In], threads: int = AHEAD) -> Iterator[Out]:
    """What `work` makes of each, in order, done in threads for a few of them in advance."""
    waiting: deque[Future[Out]] = deque()
    with ThreadPoolExecutor(threads, "export") as pool:
        try:
            for thing in things:
                waiting.append(pool.submit(work, thing))
                if len(waiting) >= threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for one in waiting:
                one.cancel()


def checked(name: str, image: DatasetImage, read: Read) -> bytes:
    """The bytes as they were kept. Raises `ExportFailed`."""
    try:
        body = read(image.storage_key)
    except StorageFailed as error:
        raise ExportFailed(f"{name} cannot be packed: {error}") from error
    except OSError as error:
        raise ExportFailed(f"{name} cannot be packed: {cause(error)}: {image.storage_key}") from error
    if hashlib.sha256(body).hexdigest() != image.sha256:
        raise ExportFailed(f"{name} cannot be packed: its bytes have changed: {image.storage_key}")
    return body


class Rewriter:
    """Rewrites pictures in worker processes: bytes of strangers are decoded nowhere else. Callable from any thread."""

    def __init__(self, options: ExportOptions) -> None:
        recipe = Recipe(options.resize, options.max_side, options.encode, options.strip_metadata)
        self._rewrite = partial(rewrite, recipe)
        self._inspectors = Inspectors(os.cpu_count() or 1, 2 * REWRITE_SECONDS, REWRITE_SECONDS)
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="rewriter")

    def __call__(self, name: str, image: DatasetImage, body: bytes) -> tuple[DatasetImage, bytes]:
        """The picture as it goes into the dataset. Raises `ExportFailed`."""
        work = self._inspectors.run(self._rewrite, body, credible)
        try:
            done = asyncio.run_coroutine_threadsafe(work, self._loop).result()
        except PixCrawlerError as error:
            raise ExportFailed(f"{name} cannot be rewritten: {error}: {image.storage_key}") from error
        return (_changed(image, done), done.body) if done else (image, body)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        asyncio.run_coroutine_threadsafe(self._inspectors.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _changed(image: DatasetImage, done: Rewritten) -> DatasetImage:
    return replace(
        image,
        sha256=hashlib.sha256(done.body).hexdigest(),
        original_sha256=image.sha256,
        extension=EXTENSIONS[done.format],
        format=done.format,
        width=done.width,
        height=done.height,
    )
