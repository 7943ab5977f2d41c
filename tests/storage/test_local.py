import asyncio
import hashlib
import os
import random
import select
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pixcrawler.config import Config
from pixcrawler.errors import StorageFailed, UsageError
from pixcrawler.storage import Storage, open_storage
from pixcrawler.storage.local import ABANDONED_SECONDS, UNFINISHED, LocalStorage

KEY = "jobs/7/images/ab/abcd.jpg"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "storage")


def leftovers(storage: LocalStorage) -> list[str]:
    return os.listdir(storage.root / UNFINISHED)


def put(storage: Storage, key: str, body: bytes) -> str:
    return asyncio.run(storage.put(key, body, "image/jpeg"))


def test_what_is_put_can_be_had_again(storage: LocalStorage, tmp_path: Path) -> None:
    body = bytes(range(256)) * 300

    async def scenario() -> None:
        assert not await storage.exists(KEY)
        url = await storage.put(KEY, body, "image/jpeg")
        assert url == storage.url(KEY) == (storage.root / KEY).as_uri()
        assert await storage.exists(KEY)
        assert await storage.get(KEY) == storage.read(KEY) == body
        await storage.fetch_file(KEY, tmp_path / "copy.jpg")
        await storage.put_file("jobs/7/exports/1/dataset.zip", tmp_path / "copy.jpg", "application/zip")
        assert await storage.get("jobs/7/exports/1/dataset.zip") == body

    asyncio.run(scenario())
    assert (tmp_path / "copy.jpg").read_bytes() == body
    assert sorted(os.listdir(tmp_path)) == ["copy.jpg", "storage"]
    assert leftovers(storage) == []


def test_the_settings_name_the_folder(tmp_path: Path) -> None:
    url = put(open_storage(Config(data_dir=tmp_path)), KEY, b"x")
    assert url == (tmp_path / "storage" / KEY).as_uri()


def test_putting_again_is_harmless(storage: LocalStorage) -> None:
    assert put(storage, KEY, b"same") == put(storage, KEY, b"same")
    assert storage.read(KEY) == b"same"


def test_list_knows_prefixes_and_only_whole_files(storage: LocalStorage) -> None:
    for key in ("jobs/7/images/a.jpg", "jobs/7/images/b.jpg", "jobs/70/images/c.jpg", "jobs/8/d.jpg"):
        put(storage, key, b"x")
    (storage.root / UNFINISHED / "half").write_bytes(b"x")
    (storage.root / "jobs" / ".DS_Store").write_bytes(b"x")

    def keys(prefix: str) -> list[str]:
        return asyncio.run(storage.list(prefix))

    assert keys("jobs/7/") == ["jobs/7/images/a.jpg", "jobs/7/images/b.jpg"]
    assert keys("jobs/7") == ["jobs/7/images/a.jpg", "jobs/7/images/b.jpg", "jobs/70/images/c.jpg"]
    assert keys("jobs/7/images/b") == ["jobs/7/images/b.jpg"]
    assert len(keys("")) == 4
    assert keys("jobs/9/") == keys("nothing") == []


def test_delete_removes_and_does_not_mind_nothing(storage: LocalStorage) -> None:
    put(storage, KEY, b"x")
    asyncio.run(storage.delete(KEY))
    asyncio.run(storage.delete(KEY))
    assert not asyncio.run(storage.exists(KEY))


def test_a_missing_file_is_named(storage: LocalStorage, tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match=f"^no such file: {KEY}$"):
        asyncio.run(storage.get(KEY))
    with pytest.raises(StorageFailed, match=f"^no such file: {KEY}$"):
        asyncio.run(storage.fetch_file(KEY, tmp_path / "copy"))
    with pytest.raises(StorageFailed, match=r"^no such file: .*/nothing$"):
        asyncio.run(storage.put_file(KEY, tmp_path / "nothing", "application/zip"))
    assert os.listdir(tmp_path) == ["storage"]


@pytest.mark.parametrize("key", ["../outside", "/etc/x", "a/../../x", ".unfinished/x", ""])
def test_no_method_leaves_the_root(storage: LocalStorage, tmp_path: Path, key: str) -> None:
    (tmp_path / "outside").write_bytes(b"secret")
    attempts = [
        lambda: storage.put(key, b"x", "image/jpeg"),
        lambda: storage.put_file(key, tmp_path / "outside", "image/jpeg"),
        lambda: storage.get(key),
        lambda: storage.exists(key),
        lambda: storage.delete(key),
        lambda: storage.fetch_file(key, tmp_path / "copy"),
    ]
    for attempt in attempts:
        with pytest.raises(StorageFailed, match="not a storage key"):
            asyncio.run(attempt())
    with pytest.raises(StorageFailed):
        storage.url(key)
    assert (tmp_path / "outside").read_bytes() == b"secret"
    assert sorted(os.listdir(tmp_path)) == ["outside", "storage"]


def test_a_file_in_the_place_of_a_folder_is_one_line(storage: LocalStorage) -> None:
    put(storage, "jobs/7", b"x")
    with pytest.raises(StorageFailed, match=r"^a file is in the place of a folder: jobs/7/a\.jpg$"):
        put(storage, "jobs/7/a.jpg", b"x")
    put(storage, "jobs/8/a.jpg", b"x")
    with pytest.raises(StorageFailed, match=r"^a folder is in the place of a file: jobs/8$"):
        put(storage, "jobs/8", b"x")
    assert leftovers(storage) == []


def test_a_folder_that_cannot_be_made_is_wrong_use(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match=r"^the storage folder cannot be written: .*/file/storage$"):
        open_storage(Config(data_dir=tmp_path / "file"))


def test_opening_sweeps_what_dead_writers_left(storage: LocalStorage) -> None:
    for name, age in (("dead", ABANDONED_SECONDS + 60), ("alive", 0)):
        path = storage.root / UNFINISHED / name
        path.write_bytes(b"half")
        when = path.stat().st_mtime - age
        os.utime(path, (when, when))
    assert leftovers(LocalStorage(storage.root)) == ["alive"]


def test_many_writers_and_readers_of_one_key_see_only_whole_files(storage: LocalStorage) -> None:
    body = os.urandom(1 << 20)

    async def scenario() -> None:
        await storage.put(KEY, body, "image/jpeg")
        writes = [storage.put(KEY, body, "image/jpeg") for _ in range(30)]
        reads = [storage.get(KEY) for _ in range(60)]
        results = await asyncio.gather(*writes, *reads)
        assert set(results[30:]) == {body}

    asyncio.run(scenario())
    assert asyncio.run(storage.list("")) == [KEY]
    assert leftovers(storage) == []


def test_many_files_into_new_folders_at_once(storage: LocalStorage) -> None:
    bodies = [os.urandom(100) for _ in range(200)]
    keys = [f"jobs/7/images/{h[:2]}/{h}.jpg" for h in (hashlib.sha256(b).hexdigest() for b in bodies)]

    async def scenario() -> None:
        await asyncio.gather(*(storage.put(k, b, "image/jpeg") for k, b in zip(keys, bodies, strict=True)))

    asyncio.run(scenario())
    assert asyncio.run(storage.list("jobs/7/")) == sorted(keys)


def test_a_full_disk_is_one_line_and_leaves_nothing(small_disk: Path, tmp_path: Path) -> None:
    storage = LocalStorage(small_disk / "storage")
    put(storage, "first.jpg", b"1" * 500_000)
    big = tmp_path / "big"
    big.write_bytes(b"2" * 3_000_000)
    with pytest.raises(StorageFailed, match=r"^no space left on device: second\.jpg$"):
        put(storage, "second.jpg", big.read_bytes())
    with pytest.raises(StorageFailed, match=r"^no space left on device: third\.zip$"):
        asyncio.run(storage.put_file("third.zip", big, "application/zip"))
    assert asyncio.run(storage.list("")) == ["first.jpg"]
    assert leftovers(storage) == []
    put(storage, "fourth.jpg", b"4" * 500_000)
    assert storage.read("fourth.jpg") == b"4" * 500_000


def test_a_full_disk_on_the_way_out_leaves_nothing(small_disk: Path, storage: LocalStorage) -> None:
    put(storage, KEY, b"2" * 3_000_000)
    with pytest.raises(StorageFailed, match=r"^no space left on device: .*/copy$"):
        asyncio.run(storage.fetch_file(KEY, small_disk / "copy"))
    assert os.listdir(small_disk) == []


def test_a_read_only_disk_is_wrong_use(small_disk: Path) -> None:
    LocalStorage(small_disk)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(UsageError, match="read-only file system"):
        LocalStorage(small_disk)


WRITER = """
    import asyncio, hashlib, os, sys
    from pathlib import Path
    from pixcrawler.storage.local import LocalStorage

    async def main():
        storage = LocalStorage(Path(sys.argv[1]))
        while True:
            bodies = [os.urandom(3_000_000) for _ in range(3)]
            keys = [f"images/{hashlib.sha256(body).hexdigest()}" for body in bodies]
            print("writing", flush=True)
            await asyncio.gather(*(storage.put(k, b, "image/jpeg") for k, b in zip(keys, bodies)))

    asyncio.run(main())
"""


@pytest.mark.skipif(os.name == "nt", reason="kill -9 is POSIX")
def test_a_killed_writer_leaves_only_whole_files(storage: LocalStorage) -> None:
    dice = random.Random(7)
    for _ in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), str(storage.root)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert writer.stdout
        with writer.stdout as lines:
            assert [lines.readline(), lines.readline()] == [b"writing\n"] * 2  # the first batch is whole
            select.select([lines], [], [], dice.random() / 100)  # a moment of its own to die at
            writer.kill()
        assert writer.wait() == -signal.SIGKILL
    keys = asyncio.run(storage.list(""))
    assert len(keys) >= 6 * 3
    for key in keys:
        assert key == f"images/{hashlib.sha256(storage.read(key)).hexdigest()}"


LIMITED = """
    import asyncio, resource, signal, sys
    from pathlib import Path
    from pixcrawler.errors import StorageFailed
    from pixcrawler.storage.local import LocalStorage

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    storage = LocalStorage(Path(sys.argv[1]))
    try:
        asyncio.run(storage.put("big.jpg", b"x" * 200_000, "image/jpeg"))
    except StorageFailed as error:
        print(error)
"""


@pytest.mark.skipif(os.name == "nt", reason="resource limits are POSIX")
def test_a_write_that_is_cut_short_leaves_nothing(storage: LocalStorage) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(LIMITED), str(storage.root)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    assert done.stdout == "file too large: big.jpg\n"
    assert asyncio.run(storage.list("")) == leftovers(storage) == []


def test_a_file_that_cannot_be_written_costs_no_other_of_its_batch(storage: LocalStorage) -> None:
    put(storage, "jobs/1", b"a file in the place of a folder")

    async def scenario() -> list[str | BaseException]:
        puts = [storage.put(key, b"x", "image/jpeg") for key in ("jobs/2/a.jpg", "jobs/1/b.jpg", "jobs/2/c.jpg")]
        return await asyncio.gather(*puts, return_exceptions=True)

    first, second, third = asyncio.run(scenario())
    assert (first, third) == (storage.url("jobs/2/a.jpg"), storage.url("jobs/2/c.jpg"))
    assert isinstance(second, StorageFailed)
    assert "jobs/1/b.jpg" in str(second)
    assert leftovers(storage) == []
