"""What only Azure promises: hashes and tiers of blobs, blocks, and who wins a race."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from azurite_server import ACCOUNT_KEY, Azurite, connection_string
from faulty_proxy import Exchange, Proxy
from loopback import closed_port

from pixcrawler.config import Config
from pixcrawler.errors import StorageFailed, UsageError
from pixcrawler.jobs import Tier
from pixcrawler.storage import azure_blocks
from pixcrawler.storage.azure import AzureStorage

PICTURE = "jobs/7/images/ab/abcd.jpg"
ARCHIVE = "jobs/7/exports/1/dataset.zip"
BLOCK = 2**16


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(azure_blocks, "BLOCK", BLOCK)


def archive(folder: Path, blocks: int = 12) -> tuple[Path, bytes]:
    path, body = folder / "dataset.zip", os.urandom(blocks * BLOCK - 7)
    path.write_bytes(body)
    return path, body


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(("tier", "access"), [(Tier.HOT, "Hot"), (Tier.WARM, "Cool")])
def test_every_blob_has_its_hashes_type_and_tier(azure: Config, tmp_path: Path, tier: Tier, access: str) -> None:
    storage = AzureStorage(azure, tier)
    path, body = archive(tmp_path)
    asyncio.run(storage.put(PICTURE, b"picture", "image/jpeg", trace="4bf92f"))
    asyncio.run(storage.put_file(ARCHIVE, path, "application/zip"))
    for key, stored, kind in ((PICTURE, b"picture", "image/jpeg"), (ARCHIVE, body, "application/zip")):
        blob = storage._blob(key).get_blob_properties()
        traced = {"trace": "4bf92f"} if key == PICTURE else {}
        assert blob.metadata == {"sha256": hashlib.sha256(stored).hexdigest(), **traced}
        assert bytes(blob.content_settings.content_md5 or b"") == hashlib.md5(stored).digest()
        assert (blob.content_settings.content_type, blob.blob_tier) == (kind, access)


@pytest.mark.usefixtures("small_blocks", "hasty")
def test_of_two_archives_under_one_name_one_wins_and_the_other_hears_of_it(azure: Config, tmp_path: Path) -> None:
    async def race(key: str, paths: list[Path]) -> list[str | BaseException]:
        storages = [AzureStorage(azure, Tier.HOT) for _ in paths]
        puts = (one.put_file(key, path, "application/zip") for one, path in zip(storages, paths, strict=True))
        return await asyncio.gather(*puts, return_exceptions=True)

    paths = [archive(folder)[0] for folder in (tmp_path, tmp_path / "other") if folder.mkdir(exist_ok=True) is None]
    storage = AzureStorage(azure, Tier.HOT)
    for n in range(4):
        key = f"jobs/{n}/dataset.zip"
        results = asyncio.run(race(key, paths))
        [winner] = [path for path, result in zip(paths, results, strict=True) if isinstance(result, str)]
        [loser] = [result for result in results if not isinstance(result, str)]
        assert isinstance(loser, StorageFailed)
        assert str(loser) == f"other bytes are stored under this key: {key}"
        assert storage.read(key) == winner.read_bytes()
    assert asyncio.run(race(ARCHIVE, [paths[0]] * 2)) == [storage.url(ARCHIVE)] * 2


@pytest.mark.usefixtures("small_blocks")
def test_blocks_that_are_there_are_not_sent_again(azure_behind_proxy: tuple[Proxy, Config], tmp_path: Path) -> None:
    proxy, settings = azure_behind_proxy
    path, body = archive(tmp_path, blocks=12)

    def refuse_the_ninth(exchange: Exchange) -> None:
        if len(blocks_sent(proxy)) == 9 and "comp=block&" in exchange.path:
            exchange.status = 403

    proxy.disturb = refuse_the_ninth
    with pytest.raises(StorageFailed, match=f"^the store refuses who we are: {ARCHIVE}$"):
        asyncio.run(AzureStorage(settings, Tier.HOT).put_file(ARCHIVE, path, "application/zip"))
    before = len(blocks_sent(proxy))
    proxy.disturb = lambda exchange: None
    storage = AzureStorage(settings, Tier.HOT)
    asyncio.run(storage.put_file(ARCHIVE, path, "application/zip"))
    assert len(blocks_sent(proxy)) - before <= 12 - 8
    assert storage.read(ARCHIVE) == body


def blocks_sent(proxy: Proxy) -> list[Exchange]:
    return [exchange for exchange in proxy.seen if "comp=block&" in exchange.path]


@pytest.mark.usefixtures("hasty")
def test_what_is_wrong_at_the_start_is_one_line_that_names_the_setting(
    azurite: Azurite, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    key = "aHVzaGh1c2g="
    for address, complaint in (
        (azurite.address, "the store refuses who we are: container pixcrawler"),
        (f"http://127.0.0.1:{closed_port()}", "the store could not be reached, or the connection broke, 8 times"),
    ):
        settings = Config(storage="azure", azure_storage_connection_string=connection_string(address, key))
        with pytest.raises(UsageError, match=f"^AZURE_STORAGE_CONNECTION_STRING: {complaint}") as raised:
            AzureStorage(settings, Tier.HOT)
        assert "\n" not in str(raised.value)
        assert key not in str(raised.value) + caplog.text


LARGE = 48 * 2**20
TRANSFER = """
    import asyncio, resource, sys
    from pathlib import Path
    from pixcrawler.config import config
    from pixcrawler.storage import azure_blocks, open_storage

    azure_blocks.BLOCK = 2**20

    async def main(large, copy):
        storage = open_storage(config())
        await storage.put("small", bytes(2**20), "application/zip")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        await storage.put_file("large", large, "application/zip")
        await storage.fetch_file("large", copy)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)

    asyncio.run(main(*map(Path, sys.argv[1:])))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
def test_memory_does_not_grow_with_the_file(azurite: Azurite, tmp_path: Path) -> None:
    large, copy = tmp_path / "large", tmp_path / "copy"
    with large.open("wb") as file:
        file.truncate(LARGE)
    environment = {**os.environ, **azurite.environment("memory"), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", textwrap.dedent(TRANSFER), str(large), str(copy)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert copy.stat().st_size == LARGE
    assert int(done.stdout) < LARGE / 2 / 1024, "KiB"


def test_the_key_of_the_emulator_is_no_secret_of_ours() -> None:
    assert ACCOUNT_KEY not in repr(Config(azure_storage_connection_string=connection_string("http://127.0.0.1:1")))
