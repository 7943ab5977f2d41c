"""Notifications as requests to the operator's webhook, signed as the Standard Webhooks specification says."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from base64 import b64encode
from http import HTTPStatus
from urllib.parse import urlsplit

import httpx

from pixcrawler.db.outbox import Owner, Parcel
from pixcrawler.errors import NotDelivered

ANSWER_SECONDS = 10.0  # from connecting to the status


class Webhook:
    """Posts to one address."""

    def __init__(self, url: str, key: bytes, user_agent: str) -> None:
        self._url = url
        self._host = urlsplit(url).hostname
        self._key = key
        # No proxy from the environment, and no redirects: what is signed goes where the operator says.
        self._client = httpx.AsyncClient(
            headers={"User-Agent": user_agent}, timeout=ANSWER_SECONDS, trust_env=False, follow_redirects=False
        )

    async def deliver(self, parcel: Parcel, owner: Owner) -> None:
        """Posts a message. Raises `NotDelivered` unless the answer is 2xx."""
        key, timestamp = f"msg_{parcel.key}", int(owner.now.timestamp())
        body = _body(key, parcel)
        headers = {
            "Content-Type": "application/json",
            "webhook-id": key,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(self._key, key, timestamp, body),
        }
        status = await self._post(body, headers)
        if not HTTPStatus(200) <= status < HTTPStatus(300):
            raise NotDelivered(f"{self._host} answered {status}", for_good=status == HTTPStatus.GONE)

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def _post(self, body: bytes, headers: dict[str, str]) -> int:
        """The status of the answer; its body, which may have no end, is not read."""
        try:
            async with (
                asyncio.timeout(ANSWER_SECONDS),
                self._client.stream("POST", self._url, content=body, headers=headers) as response,
            ):
                return response.status_code
        except TimeoutError:
            raise NotDelivered(f"{self._host} did not answer in time") from None
        except httpx.HTTPError as error:
            raise NotDelivered(f"{self._host} cannot be reached: {type(error).__name__}") from None


def _body(key: str, parcel: Parcel) -> bytes:
    [row] = parcel.rows
    about = row.message.get("category") or "notification"
    content = {
        "id": key,
        "type": f"{about}.{row.message['type']}",
        "timestamp": row.created_at.isoformat(),
        "data": {"user_id": str(parcel.owner), **row.message},
    }
    return json.dumps(content).encode()


def signature(key: bytes, message: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature` for a message's id, its time in seconds since 1970, and its body."""
    signed = f"{message}.{timestamp}.".encode() + body
    return "v1," + b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
