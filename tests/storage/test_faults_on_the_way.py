"""What networks and stores do to transfers: busy, silent, cut, damaged; and uploaders that are killed."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import supabase_server
from azurite_server import Azurite
from faulty_proxy import Exchange, Proxy, proxy
from supabase_server import Supabase

from pixcrawler.config import Config
from pixcrawler.errors import StorageFailed
from pixcrawler.jobs import Tier
from pixcrawler.storage import azure, azure_blocks, open_storage, supabase, supabase_resumable
from pixcrawler.storage.azure import AzureStorage

KEY = "jobs/7/images/ab/abcd.jpg"
ARCHIVE = "jobs/7/exports/1/dataset.zip"
PART = 2**16


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((azure, "PART"), (supabase, "PART"), (azure_blocks, "BLOCK")):
        monkeypatch.setattr(module, name, PART)
    for module in (supabase_resumable, supabase_server):
        monkeypatch.setattr(module, "CHUNK", PART)


def file_of(folder: Path, size: int) -> tuple[Path, bytes]:
    path, body = folder / "dataset.zip", os.urandom(size)
    path.write_bytes(body)
    return path, body


def test_a_store_in_a_storm_gets_everything_once(
    behind_proxy: tuple[Proxy, Config], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server, settings = behind_proxy
    monkeypatch.setitem(azure.MANNERS, "read_timeout", 0.5)
    monkeypatch.setattr(supabase, "READ_SECONDS", 0.5)
    storage, dice, lock, faults = open_storage(settings), random.Random(57), threading.Lock(), []

    def disturb(exchange: Exchange) -> None:
        with lock:
            if len(server.seen) % 8 == 0 or dice.random() > 0.2:  # nobody has bad luck eight times
                return
            faults.append(dice.choice(["500", "503", "before", "after", "hang"]))
            if faults[-1].isdecimal():
                exchange.status = int(faults[-1])
                exchange.answer_headers = {"Retry-After": "0"}
            elif faults[-1] == "hang":
                exchange.hang = faults.count("hang") <= 4  # each costs half a second
            else:
                exchange.reset = faults[-1]

    server.disturb = disturb
    bodies = [os.urandom(1000) for _ in range(40)]
    keys = [f"images/{hashlib.sha256(body).hexdigest()}.jpg" for body in bodies]
    path, archive = file_of(tmp_path, 6 * PART)

    async def scenario() -> None:
        await asyncio.gather(*(storage.put(key, body, "image/jpeg") for key, body in zip(keys, bodies, strict=True)))
        await storage.put_file(ARCHIVE, path, "application/zip")
        assert await asyncio.gather(*map(storage.get, keys)) == bodies
        assert await storage.get(ARCHIVE) == archive
        assert await storage.list("") == sorted([*keys, ARCHIVE])

    asyncio.run(scenario())
    assert set(faults) == {"500", "503", "before", "after", "hang"}


def test_the_loop_goes_on_while_the_store_takes_its_time(behind_proxy: tuple[Proxy, Config]) -> None:
    server, settings = behind_proxy
    storage, released = open_storage(settings), threading.Event()

    async def scenario() -> None:
        loop, seen = asyncio.get_running_loop(), asyncio.Event()

        def wait(exchange: Exchange) -> None:
            loop.call_soon_threadsafe(seen.set)
            assert released.wait(20)

        server.disturb = wait
        putting = asyncio.create_task(storage.put(KEY, b"x", "image/jpeg"))
        await seen.wait()
        released.set()
        await putting

    asyncio.run(scenario())


def test_a_cut_download_goes_on_where_it_ended(behind_proxy: tuple[Proxy, Config], tmp_path: Path) -> None:
    server, settings = behind_proxy
    storage = open_storage(settings)
    path, body = file_of(tmp_path, 5 * PART + 1)
    asyncio.run(storage.put_file(ARCHIVE, path, "application/zip"))
    ranges: list[str] = []

    def cut(exchange: Exchange) -> None:
        wanted = {name.lower(): value for name, value in exchange.headers.items()}
        asked = wanted.get("x-ms-range") or wanted.get("range")
        if exchange.method != "GET" or not asked:
            return
        ranges.append(asked)
        if settings.storage == "azure":
            assert ("if-match" in wanted) is (not asked.startswith("bytes=0-"))
        if len(ranges) in (3, 4):
            exchange.cut = PART // 2

    server.disturb = cut
    asyncio.run(storage.fetch_file(ARCHIVE, tmp_path / "copy"))
    assert (tmp_path / "copy").read_bytes() == body
    starts = [int(asked.partition("=")[2].partition("-")[0]) // PART for asked in ranges]
    assert starts == [0, 1, 2, 2, 2, 3, 4, 5]


@pytest.mark.usefixtures("hasty")
def test_a_cut_upload_goes_on_where_it_ended(supabase: Supabase, tmp_path: Path) -> None:
    path, body = file_of(tmp_path, 5 * PART + 1)
    sent: list[str] = []

    def cut(exchange: Exchange) -> None:
        if exchange.method == "PATCH":
            sent.append(exchange.headers["Upload-Offset"])
            exchange.reset = {2: "after", 3: "before", 7: "after"}.get(len(sent), "")

    with proxy(supabase.address) as server:
        server.disturb = cut
        storage = open_storage(supabase.settings("cut-uploads", server.address))
        asyncio.run(storage.put_file(ARCHIVE, path, "application/zip"))
        assert storage.read(ARCHIVE) == body
    assert [int(offset) // PART for offset in sent] == [0, 1, 2, 2, 3, 4, 5]


def test_a_file_that_changes_while_it_is_read_is_not_mixed(
    azure_behind_proxy: tuple[Proxy, Config], tmp_path: Path
) -> None:
    server, settings = azure_behind_proxy
    storage = AzureStorage(settings, Tier.HOT)
    path, _ = file_of(tmp_path, 3 * PART)
    asyncio.run(storage.put_file(ARCHIVE, path, "application/zip"))
    other = AzureStorage(settings, Tier.HOT)
    replaced = threading.Event()

    def replace(exchange: Exchange) -> None:
        asked = exchange.headers.get("x-ms-range", "")
        if exchange.method == "GET" and asked.startswith(f"bytes={PART}-") and not replaced.is_set():
            replaced.set()
            other._blob(ARCHIVE).upload_blob(bytes(3 * PART), overwrite=True)

    server.disturb = replace
    with pytest.raises(StorageFailed, match=f"^it has changed while it was read: {ARCHIVE}$"):
        asyncio.run(storage.fetch_file(ARCHIVE, tmp_path / "copy"))
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("size", [1000, 3 * PART])
def test_a_bit_flipped_on_the_way_up_is_refused_and_sent_again(
    azure_behind_proxy: tuple[Proxy, Config], tmp_path: Path, size: int
) -> None:
    server, settings = azure_behind_proxy
    storage = AzureStorage(settings, Tier.HOT)
    path, body = file_of(tmp_path, size)
    for times, fails in ((2, False), (1_000, True)):
        flipped: list[str] = []

        def flip(exchange: Exchange, times: int = times, flipped: list[str] = flipped) -> None:
            if exchange.method == "PUT" and len(exchange.body) >= 1000 and len(flipped) < times:
                flipped.append(exchange.path)
                exchange.flip_request()

        server.disturb = flip
        key = f"jobs/{times}/dataset.zip"
        if fails:
            with pytest.raises(StorageFailed, match=f"^the store refuses what it got: [A-Za-z0-9]+, 8 times: {key}$"):
                asyncio.run(storage.put_file(key, path, "application/zip"))
            assert not asyncio.run(storage.exists(key))
        else:
            asyncio.run(storage.put_file(key, path, "application/zip"))
            assert storage.read(key) == body
        assert flipped


def test_a_bit_flipped_on_the_way_down_is_found(behind_proxy: tuple[Proxy, Config], tmp_path: Path) -> None:
    server, settings = behind_proxy
    storage = open_storage(settings)
    path, body = file_of(tmp_path, 3 * PART)
    asyncio.run(storage.put_file(ARCHIVE, path, "application/zip"))

    def flip(exchange: Exchange) -> None:
        exchange.flip = exchange.method == "GET" and any(name.lower().endswith("range") for name in exchange.headers)

    server.disturb = flip
    with pytest.raises(StorageFailed, match=r"damaged on the way|have changed in storage"):
        asyncio.run(storage.fetch_file(ARCHIVE, tmp_path / "copy"))
    assert not (tmp_path / "copy").exists()
    server.disturb = lambda exchange: None
    assert storage.read(ARCHIVE) == body


# Starts a child for each line it reads, because Azure's SDK takes a while to load.
UPLOADER = """
    import asyncio, os, sys
    from pathlib import Path
    from pixcrawler.config import config
    from pixcrawler.jobs import Tier
    from pixcrawler.storage import azure_blocks
    from pixcrawler.storage.azure import AzureStorage

    azure_blocks.BLOCK = int(sys.argv[1])
    config()
    for key in map(str.strip, sys.stdin):
        pid = os.fork()
        if not pid:
            asyncio.run(AzureStorage(config(), Tier.HOT).put_file(key, Path(sys.argv[2]), "application/zip"))
            os._exit(0)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""
BLOCKS = 8
KILLS = 10


class Killer:
    """Kills an uploader at the request that follows so many that wrote; that one does not arrive."""

    def __init__(self, key: str, after: int) -> None:
        self.pid: Future[int] = Future()
        self._key = key
        self._left = after
        self._lock = threading.Lock()

    def __call__(self, exchange: Exchange) -> None:
        if exchange.method != "PUT" or self._key not in exchange.path:
            return
        with self._lock:
            self._left -= 1
            if self._left < 0:
                os.kill(self.pid.result(20), signal.SIGKILL)
                exchange.reset = "before"


@pytest.mark.skipif(os.name == "nt", reason="kill -9 is POSIX")
def test_a_killed_uploader_leaves_nothing_to_see_and_little_to_do(azurite: Azurite, tmp_path: Path) -> None:
    path, body = file_of(tmp_path, BLOCKS * PART)
    container, dice, done = "killed-uploaders", random.Random(52), threading.Event()
    reader = AzureStorage(azurite.settings(container), Tier.HOT)
    keys = [f"jobs/{n}/dataset.zip" for n in range(KILLS)]
    turn, read = [keys[0]], set[bytes | str]()

    def keep_reading() -> None:
        while not done.wait(0.05):
            key = turn[0]
            try:
                read.add(reader.read(key))
            except StorageFailed as error:
                read.add(str(error).replace(key, "…"))

    with proxy(azurite.address) as server, ThreadPoolExecutor(1) as threads, ExitStack() as stack:
        reading = threads.submit(keep_reading)
        stack.callback(done.set)
        environment = {**os.environ, **azurite.environment(container, server.address)}
        environment["PYTHONPATH"] = os.pathsep.join(sys.path)
        command = [sys.executable, "-c", textwrap.dedent(UPLOADER), str(PART), str(path)]
        with subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as uploader:
            assert uploader.stdin
            assert uploader.stdout
            for key in keys:
                turn[0] = key
                killer = Killer(key, after=dice.randrange(BLOCKS + 1))  # the last request that writes commits
                server.disturb = killer
                print(key, file=uploader.stdin, flush=True)
                killer.pid.set_result(int(uploader.stdout.readline()))
                assert int(uploader.stdout.readline()) == -signal.SIGKILL
                assert not asyncio.run(reader.exists(key))
                assert asyncio.run(reader.list(key)) == []
                server.disturb = lambda exchange: None
                print(key, file=uploader.stdin, flush=True)
                uploader.stdout.readline()
                assert int(uploader.stdout.readline()) == 0
                assert reader.read(key) == body
                sent_blocks = [one for one in server.seen if key in one.path and "comp=block&" in one.path]
                assert len(sent_blocks) <= BLOCKS + azure_blocks.AT_ONCE + 1
            uploader.stdin.close()
    reading.result()
    assert read == {body, "no such file: …"}
