"""Supabase's access tokens, verified here with its public keys."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from pixcrawler.config import Config
from pixcrawler.errors import PixCrawlerError

logger = logging.getLogger(__name__)

AUDIENCE = ROLE = "authenticated"
REQUIRED = ["exp", "iat", "iss", "aud", "sub"]
LEEWAY_SECONDS = 10  # clocks differ
KEYS_SECONDS = 600.0  # Supabase's own cache; a key that was withdrawn is forgotten by then
FETCHES_A_MINUTE = 2  # whoever invents key ids must not make us ask for each
FETCH_SECONDS = 5.0
RSA_BITS = 2048

Fetch = Callable[[], Awaitable[Mapping[str, Any]]]


class BadToken(PixCrawlerError):
    """Raised for a token that does not prove who asks; its message is for our log alone."""


def issuer(config: Config) -> str:
    """Who signs the tokens of the Supabase project."""
    return f"{config.supabase_url}/auth/v1"


def fetch_from(config: Config, client: httpx.AsyncClient) -> Fetch:
    """Asks the project for its keys (a JWKS)."""

    async def fetch() -> Mapping[str, Any]:
        response = await client.get(f"{issuer(config)}/.well-known/jwks.json", timeout=FETCH_SECONDS)
        response.raise_for_status()
        found: Mapping[str, Any] = response.json()
        return found

    return fetch


class Verifier:
    """Knows the keys of one issuer, and asks for them again as seldom as it may."""

    def __init__(
        self, issuer: str, fetch: Fetch, secret: str | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._issuer = issuer
        self._fetch = fetch
        self._secret = secret  # of projects that still sign with a shared one
        self._clock = clock
        self._keys: dict[str, tuple[Any, str]] = {}  # key id → key, algorithm
        self._known_at = float("-inf")
        self._fetches: list[float] = []  # of the last minute
        self._turn = asyncio.Lock()

    async def verify(self, token: str) -> dict[str, Any]:
        """The claims of a user's token. Raises `BadToken`."""
        try:
            key, algorithm = await self._key_for(jwt.get_unverified_header(token))
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=AUDIENCE,
                issuer=self._issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": REQUIRED},
            )
            UUID(claims["sub"])
        except (jwt.PyJWTError, ValueError) as error:
            raise BadToken(str(error)) from None
        if claims.get("role") != ROLE:
            raise BadToken(f"a token of role {str(claims.get('role'))[:40]!r}")
        return claims

    async def _key_for(self, header: Mapping[str, Any]) -> tuple[Any, str]:
        """The key says which algorithm it is for: what the token says of that is nobody's word."""
        if header.get("alg") == "HS256":
            if self._secret is None:
                raise BadToken("signed with a shared secret")
            return self._secret, "HS256"
        name = header.get("kid")
        if not isinstance(name, str):
            raise BadToken("names no key")
        if name not in self._keys or self._stale:
            await self._refresh(name)
        if name not in self._keys:
            raise BadToken(f"signed with an unknown key {name[:40]!r}")
        return self._keys[name]

    @property
    def _stale(self) -> bool:
        return self._clock() - self._known_at > KEYS_SECONDS

    async def _refresh(self, wanted: str) -> None:
        """Asks for the keys, unless somebody just has. Those known stay until there are others."""
        async with self._turn:
            now = self._clock()
            self._fetches = [before for before in self._fetches if before > now - 60]
            if (wanted in self._keys and not self._stale) or len(self._fetches) >= FETCHES_A_MINUTE:
                return
            self._fetches.append(now)
            try:
                found = await self._fetch()
                self._keys = dict(_usable(found))
                self._known_at = now
            except (httpx.HTTPError, ValueError, LookupError, TypeError, AttributeError) as error:
                logger.warning("the keys of %s cannot be had: %r", self._issuer, error)


def _usable(found: Mapping[str, Any]) -> list[tuple[str, tuple[Any, str]]]:
    """The keys of a JWKS that sign with ES256 or RS256; others are passed over."""
    usable = []
    for entry in found["keys"]:
        try:
            key = jwt.PyJWK(entry).key
        except jwt.PyJWTError:
            continue
        algorithm = _algorithm(key)
        if algorithm and isinstance(entry.get("kid"), str) and entry.get("use", "sig") == "sig":
            usable.append((entry["kid"], (key, algorithm)))
    return usable


def _algorithm(key: object) -> str | None:
    if isinstance(key, EllipticCurvePublicKey) and key.curve.name == "secp256r1":
        return "ES256"
    if isinstance(key, RSAPublicKey) and key.key_size >= RSA_BITS:
        return "RS256"
    return None
