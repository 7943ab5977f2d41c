"""Who asks: the local user, a Supabase user with a token, or a program with an API key; and how often they may."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.ext.asyncio import AsyncEngine

from pixcrawler.api.problems import Code, Refused
from pixcrawler.api.tokens import BadToken, Verifier
from pixcrawler.config import Config, is_here
from pixcrawler.db import accounts, api_keys, idempotency, rate_limits, usage
from pixcrawler.db.engine import statements, transaction
from pixcrawler.owners import keys
from pixcrawler.owners.keys import Scope, implied

logger = logging.getLogger(__name__)

BOOKED_SECONDS = 60.0  # between two writes of a user's or key's uses
BLOCKED_KNOWN = 10_000  # subjects that are refused without asking the database
ADMITTED_SECONDS = 60.0  # a key that is revoked still shows pictures for so long
ADMITTED_KNOWN = 10_000
FORGET_SECONDS = 600.0  # between two sweeps of limits nobody needs any more
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
IPV6_NETWORK = 64  # bits; one household's or server's, who has all addresses in it


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    user: UUID
    kind: str  # local, token, key
    scopes: frozenset[Scope]
    key: UUID | None = None
    until: float | None = None  # seconds of the epoch when the token ends
    claims: Mapping[str, Any] = field(default_factory=dict)


class Gate:
    """Lets callers in. Without a `verifier`, on a database of ours, who brings nothing is the local user."""

    def __init__(self, config: Config, engine: AsyncEngine, local_user: UUID | None, verifier: Verifier | None) -> None:
        self._limits = config.requests_a_minute
        self._engine = engine
        self._local_user = local_user
        self._verifier = verifier
        self._blocked: OrderedDict[str, float] = OrderedDict()  # subject → until when
        self._admitted: OrderedDict[str, tuple[Caller, float]] = OrderedDict()  # credentials → who, until when
        self._uses: dict[tuple[UUID, UUID | None], _Uses] = {}
        self._forgot = time.monotonic()

    async def admit(self, request: Request, credentials: str | None) -> Caller:
        """Raises `Refused` for who may not come in, or not now."""
        address = address_of(request)
        if credentials is None:
            if self._local_user and _is_here(request):
                return Caller(self._local_user, "local", frozenset(Scope))
            await self._count(request, {f"address:{address}": self._limits["address"]})
            raise _unknown("say who you are: Authorization: Bearer, with an access token or an API key")
        if credentials.startswith(keys.PREFIX):
            caller = await self._by_key(request, address, credentials)
        else:
            caller = await self._by_token(request, address, credentials)
        await self._book(caller, address)
        self._remember(credentials, caller)
        return caller

    async def admit_again(self, request: Request, credentials: str | None) -> Caller:
        """Does what `admit` does, uncounted for who was let in a minute ago: the pictures of a page belong to it."""
        known = self._admitted.get(credentials or "")
        if known and known[1] > time.monotonic() and (known[0].until is None or known[0].until > time.time()):
            return known[0]
        return await self.admit(request, credentials)

    def _remember(self, credentials: str, caller: Caller) -> None:
        self._admitted[credentials] = (caller, time.monotonic() + ADMITTED_SECONDS)
        self._admitted.move_to_end(credentials)
        if len(self._admitted) > ADMITTED_KNOWN:
            self._admitted.popitem(last=False)

    async def _by_key(self, request: Request, address: str, key: str) -> Caller:
        number = keys.id_of(key)
        if number is None:
            raise await self._failure(address)
        async with statements(self._engine) as connection:
            found = await api_keys.find(connection, number)
            right = keys.opens(key, found.key_hash if found else "")
            if right:
                caller = Caller(found.user_id, "key", implied(found.permissions), key=number)
                counts = await rate_limits.count(connection, self._limits_of(caller, address, found.rate_limit))
        if not right:
            raise await self._failure(address, number)
        self._heed(request, counts)
        return caller

    async def _by_token(self, request: Request, address: str, token: str) -> Caller:
        try:
            if self._verifier is None:
                raise BadToken("there is no SUPABASE_URL")
            claims = await self._verifier.verify(token)
        except BadToken as error:
            logger.info("a token from %s was refused: %s", address, error)
            raise await self._failure(address) from None
        caller = Caller(UUID(claims["sub"]), "token", frozenset(Scope), until=claims["exp"], claims=claims)
        await self._count(request, self._limits_of(caller, address))
        return caller

    def _limits_of(self, caller: Caller, address: str, key_limit: int = 0) -> dict[str, int]:
        limits = {f"address:{address}": self._limits["address"], f"user:{caller.user}": self._limits["user"]}
        return limits | ({f"key:{caller.key}": key_limit} if caller.key else {})

    async def _failure(self, address: str, key: UUID | None = None) -> Refused:
        """What is answered to a login that failed: too many from one address, or with one key, are told to wait.

        Whoever comes from there with something that is right, still comes in.
        """
        subjects = [f"failures:{address}", *([f"failures:{key}"] if key else [])]
        blocked = max(self._blocked.get(subject, 0) for subject in subjects) - time.monotonic()
        if blocked > 0:
            return _later(blocked)
        async with statements(self._engine) as connection:
            counts = await rate_limits.count(connection, dict.fromkeys(subjects, self._limits["failures"]))
        exceeded = [count for count in counts if count.exceeded]
        for count in exceeded:
            self._block(count.subject, count.seconds)
        if exceeded:
            return _later(max(count.seconds for count in exceeded))
        return _unknown("neither an access token nor an API key that is valid")

    def _block(self, subject: str, seconds: float) -> None:
        self._blocked[subject] = time.monotonic() + seconds
        if len(self._blocked) > BLOCKED_KNOWN:
            self._blocked.popitem(last=False)

    async def _count(self, request: Request, limits: Mapping[str, int]) -> None:
        async with statements(self._engine) as connection:
            counts = await rate_limits.count(connection, limits)
        self._heed(request, counts)

    def _heed(self, request: Request, counts: Sequence[rate_limits.Count]) -> None:
        """Tells how the caller stands. Raises `Refused` for one who has to wait."""
        request.state.count = min(counts, key=lambda count: count.limit - count.used)
        if request.state.count.exceeded:
            raise _later(request.state.count.seconds)

    async def _book(self, caller: Caller, address: str) -> None:
        uses = self._uses.setdefault((caller.user, caller.key), _Uses())
        uses.number += 1
        uses.address = address
        if time.monotonic() - uses.booked > BOOKED_SECONDS:
            await self._write(caller.user, caller.key, uses)
            await self._forget()

    async def _forget(self) -> None:
        if time.monotonic() - self._forgot > FORGET_SECONDS:
            self._forgot = time.monotonic()
            async with transaction(self._engine) as connection:
                await rate_limits.forget(connection)
                await idempotency.forget(connection)

    async def _write(self, user: UUID, key: UUID | None, uses: _Uses) -> None:
        number, uses.number, uses.booked = uses.number, 0, time.monotonic()
        async with transaction(self._engine) as connection:
            if key:
                await api_keys.used(connection, key, number, uses.address)
            if await accounts.lock(connection, user):
                await usage.add_calls(connection, user, number)

    async def close(self) -> None:
        """Books what is not booked yet."""
        waiting = [(*who, uses) for who, uses in self._uses.items() if uses.number]
        await asyncio.gather(*(self._write(user, key, uses) for user, key, uses in waiting))


@dataclass(slots=True)
class _Uses:
    """Of a user or key, since they were last booked."""

    number: int = 0
    address: str = ""
    booked: float = float("-inf")


def address_of(request: Request) -> str:
    """Where a request comes from; of IPv6 the network that is one client's."""
    host = request.client.host if request.client else "unknown"
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    if isinstance(address, IPv6Address) and not address.is_loopback:
        return str(ip_network((address, IPV6_NETWORK), strict=False))
    return str(address)


def _is_here(request: Request) -> bool:
    """Whether a request is from this machine, and not passed on from another by a server in between."""
    from_here = request.client is not None and is_here(request.client.host)
    return from_here and not any(name in request.headers for name in FORWARDED)


def _unknown(detail: str) -> Refused:
    return Refused(Code.UNAUTHENTICATED, detail, headers={"WWW-Authenticate": "Bearer"})


def _later(seconds: float) -> Refused:
    return Refused(Code.RATE_LIMITED, "too many requests", headers={"Retry-After": f"{max(1, round(seconds))}"})


BEARER = HTTPBearer(auto_error=False, description="A Supabase access token, or an API key `pxc_…`.")


async def admit(request: Request, credentials: str | None, scope: Scope, *, again: bool = False) -> Caller:
    """Who asks, if they may do as much as that; `again`: by `admit_again`. Raises `Refused`."""
    gate: Gate = request.app.state.api.gate
    who = await (gate.admit_again if again else gate.admit)(request, credentials)
    if scope not in who.scopes:
        raise Refused(Code.FORBIDDEN, f"this needs a key with the permission {scope.value}")
    return who


def _allowed(scope: Scope) -> Callable[..., Awaitable[Caller]]:
    async def caller(
        request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]
    ) -> Caller:
        given = credentials.credentials if credentials else request.headers.get("authorization")
        return await admit(request, given, scope)

    return caller


Reader = Annotated[Caller, Depends(_allowed(Scope.READ))]
Writer = Annotated[Caller, Depends(_allowed(Scope.WRITE))]
Admin = Annotated[Caller, Depends(_allowed(Scope.ADMIN))]
