"""What all storages do alike."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from pixcrawler.config import Config
from pixcrawler.errors import LinkRefused, StorageFailed
from pixcrawler.jobs import Tier
from pixcrawler.storage import Storage, check_link, open_storage
from pixcrawler.storage.keys import Stored

KEY = "jobs/7/images/ab/abcd.jpg"
ARCHIVE = "jobs/7/exports/1/dataset.zip"


async def entries(storage: Storage, prefix: str) -> list[Stored]:
    return [stored async for stored in storage.entries(prefix)]


def test_what_is_put_can_be_had_again(settings: Config, tmp_path: Path) -> None:
    storage, body = open_storage(settings), bytes(range(256)) * 300

    async def scenario() -> None:
        assert not await storage.exists(KEY)
        url = await storage.put(KEY, body, "image/jpeg")
        assert url == storage.url(KEY)
        assert url.endswith(KEY)
        assert await storage.exists(KEY)
        assert await storage.get(KEY) == await asyncio.to_thread(storage.read, KEY) == body
        await storage.fetch_file(KEY, tmp_path / "copy.jpg")
        await storage.put("jobs/7/empty", b"", "text/plain")
        assert await storage.get("jobs/7/empty") == b""

    asyncio.run(scenario())
    assert (tmp_path / "copy.jpg").read_bytes() == body
    assert {path.name for path in tmp_path.iterdir()} <= {"copy.jpg", "data"}


def test_a_large_file_goes_and_comes_in_pieces(settings: Config, tmp_path: Path) -> None:
    storage, body = open_storage(settings), os.urandom(17 * 2**20 + 11)
    archive = tmp_path / "archive"
    archive.write_bytes(body)

    async def scenario() -> None:
        await storage.put_file(ARCHIVE, archive, "application/zip")
        await storage.put_file(ARCHIVE, archive, "application/zip")
        await storage.fetch_file(ARCHIVE, tmp_path / "copy.zip")

    asyncio.run(scenario())
    assert (tmp_path / "copy.zip").read_bytes() == body
    archive.write_bytes(b"1" + body[1:])
    with pytest.raises(StorageFailed, match=f"^other bytes are stored under this key: {ARCHIVE}$"):
        asyncio.run(storage.put_file(ARCHIVE, archive, "application/zip"))
    assert [stored.size for stored in asyncio.run(entries(storage, ""))] == [len(body)]


def test_the_same_again_is_harmless_and_other_bytes_are_refused(settings: Config) -> None:
    storage = open_storage(settings)

    async def scenario() -> None:
        assert await storage.put(KEY, b"same", "image/jpeg") == await storage.put(KEY, b"same", "image/jpeg")
        with pytest.raises(StorageFailed, match=f"^other bytes are stored under this key: {KEY}$"):
            await storage.put(KEY, b"other", "image/jpeg")
        assert await storage.get(KEY) == b"same"
        await storage.delete(KEY)
        await storage.put(KEY, b"other", "image/jpeg")
        assert await storage.get(KEY) == b"other"

    asyncio.run(scenario())


def test_what_is_missing_is_named(settings: Config, tmp_path: Path) -> None:
    storage = open_storage(settings)
    with pytest.raises(StorageFailed, match=f"^no such file: {KEY}$"):
        asyncio.run(storage.get(KEY))
    with pytest.raises(StorageFailed, match=f"^no such file: {KEY}$"):
        asyncio.run(storage.fetch_file(KEY, tmp_path / "copy"))
    with pytest.raises(StorageFailed, match=r"^no such file: .*/nothing$"):
        asyncio.run(storage.put_file(KEY, tmp_path / "nothing", "application/zip"))
    asyncio.run(storage.delete(KEY))
    assert {path.name for path in tmp_path.iterdir()} <= {"data"}


def test_no_method_takes_a_key_that_could_be_another_place(settings: Config, tmp_path: Path) -> None:
    storage = open_storage(settings)
    (tmp_path / "file").write_bytes(b"x")
    for key in ("../outside", "a/../../x", "%2e%2e/x", "a?b", ""):
        for attempt in (
            storage.put(key, b"x", "image/jpeg"),
            storage.put_file(key, tmp_path / "file", "image/jpeg"),
            storage.get(key),
            storage.fetch_file(key, tmp_path / "copy"),
            storage.exists(key),
            storage.delete(key),
            storage.link(key),
        ):
            with pytest.raises(StorageFailed, match="not a storage key"):
                asyncio.run(attempt)
        with pytest.raises(StorageFailed, match="not a storage key"):
            storage.url(key)
    with pytest.raises(StorageFailed, match="not a prefix"):
        asyncio.run(storage.list("../"))


def test_lists_have_sizes_and_ages(settings: Config) -> None:
    storage = open_storage(settings)
    keys = ["jobs/7/a.jpg", "jobs/7/b.jpg", "jobs/7/c.jpg", "jobs/7/d.jpg", "jobs/70/e.jpg"]

    async def scenario() -> list[Stored]:
        for size, key in enumerate(keys):
            await storage.put(key, bytes(size), "image/jpeg")
        assert await storage.list("jobs/7/") == keys[:4]
        assert await storage.list("jobs/7") == keys
        assert await storage.list("jobs/9") == []
        return await entries(storage, "jobs/7/")

    found = asyncio.run(scenario())
    assert sorted((stored.key, stored.size) for stored in found) == [(key, n) for n, key in enumerate(keys[:4])]
    minute = timedelta(minutes=1)
    assert all(abs(datetime.now(UTC) - stored.modified_at) < minute for stored in found)


def test_many_writers_and_readers_of_one_key_see_only_the_whole(settings: Config) -> None:
    storage, body = open_storage(settings), os.urandom(100_000)

    async def scenario() -> None:
        await asyncio.gather(*(storage.put(KEY, body, "image/jpeg") for _ in range(12)))
        assert set(await asyncio.gather(*(storage.get(KEY) for _ in range(12)))) == {body}

    asyncio.run(scenario())
    assert asyncio.run(storage.list("")) == [KEY]


def test_tiers_are_apart(settings: Config) -> None:
    hot, warm = open_storage(settings), open_storage(settings, Tier.WARM)

    async def scenario() -> None:
        await hot.put(KEY, b"hot", "image/jpeg")
        await warm.put(KEY, b"warm", "image/jpeg")
        assert (await hot.get(KEY), await warm.get(KEY)) == (b"hot", b"warm")
        await hot.delete(KEY)
        assert await warm.list("") == [KEY]

    asyncio.run(scenario())
    assert hot.url(KEY) != warm.url(KEY)


def test_a_link_downloads_one_file_under_its_name_until_it_is_over(settings: Config) -> None:
    storage, body = open_storage(settings), os.urandom(1000)
    name = 'red panda "7".zip'

    async def links() -> tuple[str, str]:
        await storage.put(ARCHIVE, body, "application/zip")
        return await storage.link(ARCHIVE, name=name), await storage.link(ARCHIVE, seconds=-1)

    good, over = asyncio.run(links())
    assert urlsplit(good).hostname == "127.0.0.1"
    if settings.storage == "local":
        assert serve(storage, good) == (ARCHIVE, name)
        with pytest.raises(LinkRefused, match="this link is over"):
            serve(storage, over)
        return
    answer = httpx.get(good)
    assert (answer.status_code, answer.content) == (200, body)
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="red panda ')
    assert httpx.get(over).status_code in (400, 403)


def serve(storage: Storage, link: str) -> tuple[str, str]:
    """What the API does with a link to a local file."""
    parts, query = urlsplit(link), parse_qs(urlsplit(link).query)
    key, name = parts.path.removeprefix("/files/"), query["name"][0]
    check_link(storage, key, int(query["expires"][0]), name, query["signature"][0])
    return key, name
