"""Files in a container of Azure Blob Storage."""

from __future__ import annotations

import builtins
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.identity import DefaultAzureCredential
from azure.storage.blob import (
    BlobBlock,
    BlobClient,
    BlobProperties,
    BlobSasPermissions,
    BlobServiceClient,
    ContentSettings,
    StandardBlobTier,
    generate_blob_sas,
)

from pixcrawler.config import Config, is_here
from pixcrawler.errors import StorageFailed, UsageError
from pixcrawler.jobs import Tier
from pixcrawler.storage import azure_blocks
from pixcrawler.storage.azure_errors import explained
from pixcrawler.storage.keys import KEY, Stored, checked_key
from pixcrawler.storage.links import disposition
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

SKEW = timedelta(minutes=15)  # how far clocks may be apart, as Microsoft advises
MANNERS: dict[str, Any] = {
    "retry_total": 0,  # ours are in retries.py
    "connection_timeout": CONNECT_SECONDS,
    "read_timeout": READ_SECONDS,
    "max_single_get_size": PART,
    "max_chunk_get_size": PART,
}
ACCESS = {Tier.HOT: StandardBlobTier.HOT, Tier.WARM: StandardBlobTier.COOL}

for _chatter in ("azure.core.pipeline.policies.http_logging_policy", "azure.identity"):
    logging.getLogger(_chatter).setLevel(logging.WARNING)  # they tell every request


class AzureStorage(Remote):
    """A `Storage` in one container. Blobs are written once, with MD5 and SHA-256, in the tier's access tier."""

    def __init__(self, config: Config, tier: Tier) -> None:
        """Creates the container if it is missing. Raises `UsageError` naming the setting that is wrong."""
        self._service, setting = _service(config)
        super().__init__(self._service.close)
        name = config.azure_blob_container_name if tier is Tier.HOT else config.azure_warm_container_name
        self._container = self._service.get_container_client(name)
        self._access = ACCESS[tier]
        try:
            patiently(self._create, f"container {name}")
        except StorageFailed as error:
            raise UsageError(f"{setting}: {error}") from error

    def url(self, key: str) -> str:
        """The `https:` URL of a blob."""
        return str(self._blob(key).url)

    def _blob(self, key: str) -> BlobClient:
        return self._container.get_blob_client(checked_key(key))

    def _create(self) -> None:
        subject = f"container {self._container.container_name}"
        try:
            with explained(subject):
                self._container.get_container_properties()
        except Missing:
            with suppress(Taken), explained(subject):  # somebody else may be quicker
                self._container.create_container()

    def _put(self, key: str, body: bytes, content_type: str, trace: str | None = None) -> None:
        write = partial(self._blob(key).upload_blob, body, length=len(body))
        patiently(lambda: self._write_once(key, write, content_type, Digests(body), trace), key)

    def _put_file(self, key: str, path: Path, content_type: str) -> None:
        body = body_if_small(path, azure_blocks.BLOCK)
        if body is not None:
            self._put(key, body, content_type)
        else:
            patiently(lambda: self._put_blocks(key, path, content_type), key)

    def _put_blocks(self, key: str, path: Path, content_type: str) -> None:
        if self._known(key) and self._has_same(key, Digests.of_file(path).sha256):
            return
        ids, digests = azure_blocks.stage(self._blob(key), path)
        write = partial(self._blob(key).commit_block_list, [BlobBlock(block) for block in ids])
        self._write_once(key, write, content_type, digests)

    def _write_once(
        self, key: str, write: Callable[..., object], content_type: str, digests: Digests, trace: str | None = None
    ) -> None:
        """Makes a blob that is not there yet; one that is there must hold the same."""
        try:
            with explained(key):
                write(
                    content_settings=ContentSettings(content_type=content_type, content_md5=bytearray(digests.md5)),
                    metadata={"sha256": digests.sha256} | ({"trace": trace} if trace else {}),
                    standard_blob_tier=self._access,
                    match_condition=MatchConditions.IfMissing,
                    validate_content=True,
                )
        except Taken as error:
            if not self._has_same(key, digests.sha256):
                raise Again("what was there has just been removed") from error

    def _known(self, key: str) -> Known | None:
        def ask() -> Known | None:
            try:
                with explained(key):
                    return _known(self._blob(key).get_blob_properties())
            except Missing:
                return None

        return patiently(ask, key)

    def _part(self, key: str, start: int, known: Known | None) -> tuple[Known, bytes]:
        same: Any = {"etag": known.etag, "match_condition": MatchConditions.IfNotModified} if known else {}

        def read() -> tuple[Known, bytes]:
            with explained(key):
                try:
                    answer = self._blob(key).download_blob(start, PART, validate_content=True, **same)
                    return _known(answer.properties), answer.readall()
                except HttpResponseError as error:
                    if error.status_code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                        raise
                    return _known(self._blob(key).get_blob_properties()), b""  # an empty file has no ranges

        try:
            return patiently(read, key)
        except Taken as error:
            raise StorageFailed(f"it has changed while it was read: {key}") from error

    def _delete(self, key: str) -> None:
        def delete() -> None:
            with suppress(Missing), explained(key):
                self._blob(key).delete_blob()

        patiently(delete, key)

    def _page(self, prefix: str, place: str | None) -> tuple[builtins.list[Stored], str | None]:
        def ask() -> tuple[builtins.list[Stored], str | None]:
            with explained(prefix):
                pages: Any = self._container.list_blobs(name_starts_with=prefix).by_page(place)
                stored = [Stored(blob.name, blob.size, blob.last_modified) for blob in next(pages, ())]
                return [one for one in stored if KEY.fullmatch(one.key)], pages.continuation_token

        return patiently(ask, prefix)

    def _link(self, key: str, seconds: int, name: str) -> str:
        now = datetime.now(UTC)
        begin, end = now - SKEW, now + timedelta(seconds=seconds)
        blob = self._blob(key)
        signature = generate_blob_sas(
            str(self._service.account_name),
            blob.container_name,
            key,
            permission=BlobSasPermissions(read=True),
            start=begin,
            expiry=end,
            protocol="https,http" if is_here(urlsplit(blob.url).hostname) else "https",
            content_disposition=disposition(name),
            **self._signing_key(begin, end, key),
        )
        return f"{blob.url}?{signature}"

    def _signing_key(self, begin: datetime, end: datetime, key: str) -> dict[str, Any]:
        """The account's key, or one that was made for us as the user we are."""
        account_key = getattr(self._service.credential, "account_key", None)
        if account_key:
            return {"account_key": account_key}

        def ask() -> object:
            with explained(key):
                return self._service.get_user_delegation_key(begin, end)

        return {"user_delegation_key": patiently(ask, key)}


def _service(config: Config) -> tuple[BlobServiceClient, str]:
    """The account, and the setting that names it."""
    if config.azure_storage_connection_string is None:
        assert config.azure_storage_account_url
        return (
            BlobServiceClient(config.azure_storage_account_url, DefaultAzureCredential(), **MANNERS),
            "AZURE_STORAGE_ACCOUNT_URL",
        )
    text = config.azure_storage_connection_string.get_secret_value()
    try:
        return BlobServiceClient.from_connection_string(text, **MANNERS), "AZURE_STORAGE_CONNECTION_STRING"
    except ValueError:
        raise UsageError("AZURE_STORAGE_CONNECTION_STRING: cannot be read") from None


def _known(properties: BlobProperties) -> Known:
    """Of a whole blob, or of a part, whose own size is that of the part."""
    whole = properties.content_range.rpartition("/")[2] if properties.content_range else properties.size
    return Known(int(whole), properties.metadata.get("sha256"), properties.etag)
