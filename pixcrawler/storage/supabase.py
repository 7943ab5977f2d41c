"""Files in a bucket of Supabase Storage."""

from __future__ import annotations

import builtins
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
from storage3 import SyncStorageClient

from pixcrawler.config import Config
from pixcrawler.errors import StorageFailed, UsageError
from pixcrawler.jobs import Tier
from pixcrawler.storage import supabase_resumable
from pixcrawler.storage.keys import KEY, Stored, checked_key
from pixcrawler.storage.remote import (
    CONNECT_SECONDS,
    PART,
    READ_SECONDS,
    Digests,
    Known,
    Missing,
    Remote,
    Taken,
    body_if_small,
)
from pixcrawler.storage.retries import Again, patiently
from pixcrawler.storage.supabase_errors import explained, raise_if_busy

PAGE = 1000  # files in one answer


class SupabaseStorage(Remote):
    """A `Storage` in one private bucket. Objects are written once, and carry their SHA-256."""

    def __init__(self, config: Config, tier: Tier) -> None:
        """Creates the bucket if it is missing. Raises `UsageError` naming the settings that are wrong."""
        assert config.supabase_url
        assert config.supabase_service_role_key
        secret = config.supabase_service_role_key.get_secret_value()
        headers = {"Authorization": f"Bearer {secret}", "apikey": secret}
        timeout = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
        self._http = httpx.Client(headers=headers, timeout=timeout, event_hooks={"response": [raise_if_busy]})
        super().__init__(self._http.close)
        self._address = f"{config.supabase_url}/storage/v1"
        self._client = SyncStorageClient(f"{self._address}/", headers, http_client=self._http)
        self._name = config.supabase_bucket if tier is Tier.HOT else config.supabase_warm_bucket
        self._bucket = self._client.from_(self._name)
        try:
            patiently(self._create, f"bucket {self._name}")
        except StorageFailed as error:
            raise UsageError(f"SUPABASE_URL or SUPABASE_SERVICE_ROLE_KEY: {error}") from error

    def url(self, key: str) -> str:
        """The `https:` URL of an object."""
        return f"{self._address}/object/{self._name}/{checked_key(key)}"

    def _create(self) -> None:
        subject = f"bucket {self._name}"
        try:
            with explained(subject):
                self._client.get_bucket(self._name)
        except Missing:
            with suppress(Taken), explained(subject):  # somebody else may be quicker
                self._client.create_bucket(self._name, options={"public": False})

    def _put(self, key: str, body: bytes, content_type: str, trace: str | None = None) -> None:
        sha256 = Digests(body).sha256
        told = {"sha256": sha256} | ({"trace": trace} if trace else {})
        options: Any = {"content-type": content_type, "upsert": "false", "metadata": told}

        def write() -> None:
            with explained(key):
                self._bucket.upload(key, body, options)

        patiently(lambda: self._write_once(key, write, sha256), key)

    def _put_file(self, key: str, path: Path, content_type: str) -> None:
        body = body_if_small(path, supabase_resumable.CHUNK)
        if body is not None:
            return self._put(key, body, content_type)
        sha256 = Digests.of_file(path).sha256
        if self._has_same(key, sha256):
            return None
        names = {
            "bucketName": self._name,
            "objectName": key,
            "contentType": content_type,
            "metadata": json.dumps({"sha256": sha256}),
        }
        address = f"{self._address}/upload/resumable"

        def write() -> None:
            supabase_resumable.upload(self._http, address, path, names, key)

        return patiently(lambda: self._write_once(key, write, sha256), key)

    def _write_once(self, key: str, write: Callable[[], None], sha256: str) -> None:
        """Makes an object that is not there yet; one that is there must hold the same."""
        try:
            write()
        except Taken as error:
            if not self._has_same(key, sha256):
                raise Again("what was there has just been removed") from error

    def _known(self, key: str) -> Known | None:
        def ask() -> Known | None:
            try:
                with explained(key):
                    info = self._bucket.info(key)
            except Missing:
                return None
            return Known(info["size"], (info["metadata"] or {}).get("sha256"), info["etag"])

        return patiently(ask, key)

    def _part(self, key: str, start: int, known: Known | None) -> tuple[Known, bytes]:
        known = known or self._known(key)
        if known is None:
            raise StorageFailed(f"no such file: {key}")
        end = min(start + PART, known.size)
        return known, patiently(lambda: self._range(key, start, end), key) if end > start else b""

    def _range(self, key: str, start: int, end: int) -> bytes:
        address = f"{self._address}/object/authenticated/{self._name}/{key}"
        headers = {"Range": f"bytes={start}-{end - 1}"}
        with explained(key), self._http.stream("GET", address, headers=headers) as answer:
            if answer.is_success and answer.headers.get("Content-Length") != str(end - start):
                raise StorageFailed(f"it has changed while it was read: {key}")
            body = answer.read()
            answer.raise_for_status()
            return body

    def _delete(self, key: str) -> None:
        def delete() -> None:
            with suppress(Missing), explained(key):
                self._bucket.remove([key])

        patiently(delete, key)

    def _page(self, prefix: str, place: str | None) -> tuple[builtins.list[Stored], str | None]:
        options: Any = {"prefix": prefix, "limit": PAGE, "with_delimiter": False} | ({"cursor": place} if place else {})

        def ask() -> tuple[builtins.list[Stored], str | None]:
            with explained(prefix):
                page = self._bucket.list_v2(options)
            stored = [Stored(one.key or one.name, (one.metadata or {})["size"], one.updated_at) for one in page.objects]
            return [one for one in stored if KEY.fullmatch(one.key)], page.nextCursor

        return patiently(ask, prefix)

    def _link(self, key: str, seconds: int, name: str) -> str:
        def sign() -> str:
            with explained(key):
                return str(self._bucket.create_signed_url(key, seconds, {"download": name})["signedUrl"])

        return patiently(sign, key)
