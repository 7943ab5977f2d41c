"""A whole job whose files are in Azure Blob Storage: pictures, the dataset, and no word of how one gets at them."""

from __future__ import annotations

import asyncio
import hashlib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from azurite_server import ACCOUNT_KEY, Azurite
from loopback import Web

from pixcrawler.storage import open_storage

CONTAINER = "whole-job"


@pytest.fixture
def variables(azurite: Azurite) -> dict[str, str]:
    return azurite.environment(CONTAINER)


def test_a_job_is_stored_packed_and_had_from_azure(system: Any, source: Web, azurite: Azurite, tmp_path: Path) -> None:
    source.results["otter"] = source.photos(24)
    job = system.insert(["otter"], 20)
    assert system.ended(job) == "completed"
    rows = system.sql("SELECT hash, storage_url, metadata->>'storage_key' FROM public.images")
    assert len(rows) == 20
    storage = open_storage(azurite.settings(CONTAINER))
    assert {url for _, url, _ in rows} == {storage.url(key) for _, _, key in rows}
    assert all(hashlib.sha256(storage.read(key)).hexdigest() == sha256 for sha256, _, key in rows)
    kept = sorted(key for _, _, key in rows)
    system.until(lambda: asyncio.run(storage.list(f"jobs/{job}/images/")) == kept)  # once it is swept

    assert system.cli("export", str(job), "--out", str(tmp_path)).returncode == 0
    with zipfile.ZipFile(tmp_path / f"job-{job}.zip") as archive:
        packed = {hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist() if "images" not in name}
    assert {sha256 for sha256, _, _ in rows} <= packed
    assert not (tmp_path / "storage").exists()
    assert not told(system, tmp_path)


def told(system: Any, folder: Path) -> list[str]:
    """Where the account's key or a signature can be read: files that were written, tables."""
    written = {str(path): path.read_bytes() for path in folder.rglob("*.log")}
    tables = "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname IN ('public', 'crawler')"
    for (table,) in system.sql(tables):
        written[table] = str(system.sql(f"SELECT string_agg(t::text, ' ') FROM {table} t")).encode()
    assert len(written) > 10
    return [where for where, text in written.items() if b"sig=" in text or ACCOUNT_KEY.encode() in text]
