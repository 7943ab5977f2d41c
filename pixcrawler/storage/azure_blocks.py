"""Large files in blocks: a few at once, and those that are there already not again."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from azure.storage.blob import BlobClient

from pixcrawler.storage.azure_errors import explained
from pixcrawler.storage.faults import explained as explained_locally
from pixcrawler.storage.remote import Digests, Missing
from pixcrawler.storage.retries import patiently

BLOCK = 8 * 2**20  # bytes, as long as MOST of them suffice
MOST = 50_000  # blocks of a blob; Azure's limit
AT_ONCE = 4  # blocks on their way, and in memory


def stage(blob: BlobClient, path: Path) -> tuple[list[str], Digests]:
    """Brings a file's blocks to the store, where nobody sees them. Returns their ids in order, and the file's hashes.

    A block's id is its place and hash: whoever is killed loses what was on its way, and two writers of one file help
    each other.
    """
    there = patiently(lambda: _staged(blob), blob.blob_name)
    ids: list[str] = []
    digests = Digests()
    on_their_way: deque[Future[None]] = deque()
    with ThreadPoolExecutor(AT_ONCE, "blocks") as threads:
        for place, block in enumerate(_blocks(path)):
            digests.update(block)
            ids.append(f"{place:05}-{hashlib.sha256(block).hexdigest()[:40]}")
            if ids[-1] not in there:
                if len(on_their_way) == AT_ONCE:
                    on_their_way.popleft().result()
                on_their_way.append(threads.submit(_send, blob, ids[-1], block))
        for block_there in on_their_way:
            block_there.result()
    return ids, digests


def _blocks(path: Path) -> Iterator[bytes]:
    with explained_locally(str(path)), path.open("rb") as file:
        size = max(BLOCK, -(-os.fstat(file.fileno()).st_size // MOST))
        while block := file.read(size):
            yield block


def _send(blob: BlobClient, block_id: str, block: bytes) -> None:
    def send() -> None:
        with explained(blob.blob_name):
            blob.stage_block(block_id, block, length=len(block), validate_content=True)

    patiently(send, blob.blob_name)


def _staged(blob: BlobClient) -> set[str]:
    """The ids of the blocks that wait to be committed."""
    try:
        with explained(blob.blob_name):
            _, waiting = blob.get_block_list("uncommitted")
    except Missing:  # neither blob nor blocks
        return set()
    return {block.id for block in waiting}
