"""Links open one file for a while, and nothing else."""

from __future__ import annotations

import asyncio
import os
import re
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from azurite_server import ACCOUNT_KEY

from pixcrawler.config import Config
from pixcrawler.errors import LinkRefused
from pixcrawler.jobs import Tier
from pixcrawler.storage import azure as azure_module
from pixcrawler.storage import check_link, open_storage
from pixcrawler.storage.azure import AzureStorage
from pixcrawler.storage.links import KEY_FILE
from pixcrawler.storage.local import LocalStorage

KEY = "jobs/7/exports/1/dataset.zip"
OTHER = "jobs/8/exports/1/dataset.zip"


def test_a_link_to_azure_opens_nothing_else(azure: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = AzureStorage(azure, Tier.HOT)
    for key in (KEY, OTHER):
        asyncio.run(storage.put(key, b"x", "application/zip"))
    good = asyncio.run(storage.link(KEY))
    query = urlsplit(good).query
    container = storage.url(KEY).removesuffix(f"/{KEY}")
    refused = {
        "over": asyncio.run(storage.link(KEY, seconds=-1)),
        "of another blob": f"{storage.url(OTHER)}?{query}",
        "prolonged": re.sub(r"se=[^&]+", "se=2099-01-01T00%3A00%3A00Z", good),
        "with more rights": good.replace("sp=r&", "sp=rwd&"),
        "under another name": good.replace("dataset.zip%22", "virus.exe%22"),
        "for a list": f"{container}?restype=container&comp=list&{query}",
    }
    monkeypatch.setattr(azure_module, "is_here", lambda host: False)
    refused["https only"] = asyncio.run(storage.link(KEY))
    monkeypatch.undo()
    monkeypatch.setattr(azure_module, "SKEW", -timedelta(hours=1))
    refused["not begun"] = asyncio.run(storage.link(KEY, seconds=7200))
    assert httpx.get(good).content == b"x"
    assert {what: httpx.get(link).status_code for what, link in refused.items()} == dict.fromkeys(refused, 403)
    assert httpx.put(good, content=b"y", headers={"x-ms-blob-type": "BlockBlob"}).status_code == 403
    assert httpx.delete(good).status_code == 403


def test_a_link_to_a_real_account_is_https_only_and_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AzureStorage, "_create", lambda self: None)
    account = f"AccountName=pix;AccountKey={ACCOUNT_KEY};EndpointSuffix=core.example"
    storage = AzureStorage(Config(storage="azure", azure_storage_connection_string=account), Tier.WARM)
    link = urlsplit(asyncio.run(storage.link(KEY)))
    assert (link.scheme, link.path) == ("https", f"/pixcrawler-warm/{KEY}")
    said = {name: values[0] for name, values in parse_qs(link.query).items()}
    assert (said["sp"], said["sr"], said["spr"]) == ("r", "b", "https")
    begin, end = (datetime.fromisoformat(said[name]) for name in ("st", "se"))
    assert end - begin == timedelta(minutes=75)


def test_nobody_hears_of_a_link_or_key(azure: Config, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    storage = AzureStorage(azure, Tier.HOT)
    url = asyncio.run(storage.put(KEY, b"x", "application/zip"))
    asyncio.run(storage.link(KEY))
    assert "?" not in url
    assert "sig=" not in caplog.text
    assert ACCOUNT_KEY not in caplog.text


@pytest.fixture
def local(tmp_path: Path) -> LocalStorage:
    storage = open_storage(Config(data_dir=tmp_path))
    assert isinstance(storage, LocalStorage)
    return storage


def test_a_link_to_a_local_file_cannot_be_changed(local: LocalStorage) -> None:
    expires, name, signature = signed(local)
    check_link(local, KEY, expires, name, signature)
    for changed in (
        (OTHER, expires, name, signature),
        (KEY, expires + 1, name, signature),
        (KEY, expires, "virus.exe", signature),
        (KEY, expires, name, signature[:-1] + ("0" if signature[-1] != "0" else "1")),
        (KEY, expires, name, signature.upper()),
        (KEY, expires, name, ""),
        (KEY, expires, "\ud800", "\ud800é"),
    ):
        with pytest.raises(LinkRefused, match=r"^this link was not made here, or was changed$"):
            check_link(local, *changed)


def test_a_link_is_over_when_it_says(local: LocalStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    expires, name, signature = signed(local)
    monkeypatch.setattr(time, "time", lambda: expires + 1.0)
    with pytest.raises(LinkRefused, match=r"^this link is over$"):
        check_link(local, KEY, expires, name, signature)


def test_a_link_of_one_tier_opens_nothing_in_the_other(local: LocalStorage, tmp_path: Path) -> None:
    warm = open_storage(Config(data_dir=tmp_path), Tier.WARM)
    with pytest.raises(LinkRefused):
        check_link(warm, KEY, *signed(local))


def test_only_files_of_this_machine_are_had_here(azure: Config, local: LocalStorage) -> None:
    with pytest.raises(LinkRefused, match=r"^files are had from the store itself$"):
        check_link(AzureStorage(azure, Tier.HOT), KEY, *signed(local))


def test_a_folder_has_one_key_for_links_whoever_makes_it(tmp_path: Path) -> None:
    storages = [LocalStorage(tmp_path, "http://127.0.0.1:8000") for _ in range(16)]
    with ThreadPoolExecutor(16) as threads:
        made = list(threads.map(signed, storages))
    for one in made:
        check_link(storages[0], KEY, *one)
    assert sorted(os.listdir(tmp_path)) == [KEY_FILE, ".unfinished"]
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600
    assert len((tmp_path / KEY_FILE).read_bytes()) == 32
    assert asyncio.run(storages[0].list("")) == []


def signed(storage: LocalStorage) -> tuple[int, str, str]:
    """What a link to `KEY` says: until when, under which name, signed how."""
    link = urlsplit(asyncio.run(storage.link(KEY)))
    assert f"{link.scheme}://{link.netloc}{link.path}" == f"http://127.0.0.1:8000/files/{KEY}"
    said = parse_qs(link.query)
    return int(said["expires"][0]), said["name"][0], said["signature"][0]
