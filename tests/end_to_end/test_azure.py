"""A whole job whose files are in Azure Blob Storage: pictures, datasets in two tiers, and no word of the key."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import time
import zipfile
from pathlib import Path
from typing import Any

import httpx
import py7zr
import pytest
from azure.storage.blob import BlobServiceClient
from azurite_server import ACCOUNT_KEY, Azurite, connection_string
from loopback import Web

from pixcrawler.storage import open_storage

CONTAINER = "whole-job"


@pytest.fixture
def variables(azurite: Azurite) -> dict[str, str]:
    return azurite.environment(CONTAINER)


def test_a_job_is_stored_packed_and_had_from_azure(system: Any, source: Web, azurite: Azurite, tmp_path: Path) -> None:
    source.results["otter"] = source.photos(24)
    formats = ("--format", "zip", "--format", "7z")
    made = system.cli("jobs", "create", "--keywords", "otter", "--max-images", "20", *formats, "--json")
    job = json.loads(made.stdout)["id"]
    assert system.ended(job) == "completed"
    rows = system.sql("SELECT hash, storage_url, metadata->>'storage_key' FROM public.images")
    ((trace,),) = system.sql("SELECT trace FROM crawler.jobs")
    assert len(rows) == 20
    storage = open_storage(azurite.settings(CONTAINER))
    assert {url for _, url, _ in rows} == {storage.url(key) for _, _, key in rows}
    assert all(hashlib.sha256(storage.read(key)).hexdigest() == sha256 for sha256, _, key in rows)
    kept = sorted(key for _, _, key in rows)
    assert trace_of(azurite, kept[0]) == trace
    system.until(lambda: asyncio.run(storage.list(f"jobs/{job}/images/")) == kept)  # once it is swept

    assert system.cli("export", str(job), "--out", str(tmp_path)).returncode == 0
    with zipfile.ZipFile(tmp_path / f"job-{job}.zip") as archive:
        packed = {hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist() if "images" not in name}
    assert {sha256 for sha256, _, _ in rows} <= packed
    assert access_tiers(azurite, system, job) == {"zip": "Hot", "7z": "Cool"}
    link = system.cli("export", str(job), "--format", "7z", "--link").stdout.strip()
    assert py7zr.is_7zfile(io.BytesIO(httpx.get(link, trust_env=False).raise_for_status().content))
    assert is_over(asyncio.run(storage.link(kept[0], seconds=1)))
    assert not (tmp_path / "storage").exists()
    assert not told(system, tmp_path)


def trace_of(azurite: Azurite, key: str) -> str:
    """Of which job a picture's blob says it is."""
    service = BlobServiceClient.from_connection_string(connection_string(azurite.address))
    return str(service.get_blob_client(CONTAINER, key).get_blob_properties().metadata["trace"])


def access_tiers(azurite: Azurite, system: Any, job: int) -> dict[str, str]:
    """In which access tier the dataset of each format lies."""
    service = BlobServiceClient.from_connection_string(connection_string(azurite.address))
    containers = {"hot": CONTAINER, "warm": f"{CONTAINER}-warm"}
    rows = system.sql("SELECT format, tier, key FROM crawler.exports WHERE job = %s AND state = 'done'", [job])
    blobs = {kind: service.get_blob_client(containers[tier], key) for kind, tier, key in rows}
    return {kind: blob.get_blob_properties().blob_tier for kind, blob in blobs.items()}


def is_over(link: str) -> bool:
    """Waits until a link that worked does not any more."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if httpx.get(link, trust_env=False).status_code == 403:
            return True
        time.sleep(0.2)
    return False


def told(system: Any, folder: Path) -> list[str]:
    """Where the account's key or a signature can be read: files that were written, tables."""
    written = {str(path): path.read_bytes() for path in folder.rglob("*.log")}
    tables = "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname IN ('public', 'crawler')"
    for (table,) in system.sql(tables):
        written[table] = str(system.sql(f"SELECT string_agg(t::text, ' ') FROM {table} t")).encode()
    assert len(written) > 10
    return [where for where, text in written.items() if b"sig=" in text or ACCOUNT_KEY.encode() in text]
