"""Which addresses a crawl may reach: pure, no look-ups. `firewall` applies it to requests and to DNS."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, unquote, urlsplit

from pixcrawler.errors import UsageError
from pixcrawler.items import DEFAULT_PORTS

Address = IPv4Address | IPv6Address

# Not `is_global`: it calls several of these global, Azure's wire server and 6to4 among them.
NOT_PUBLIC = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",  # this host
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # carrier-grade NAT, Alibaba's metadata
            "127.0.0.0/8",  # loopback
            "168.63.129.16/32",  # Azure's wire server
            "169.254.0.0/16",  # link-local, cloud metadata
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments, Oracle's metadata
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",  # private
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
            # Of IPv6 only 2000::/3 is given out for the public internet; these three are all the rest.
            "::/3",  # loopback and every embedding of IPv4: compatible, mapped, translated, NAT64
            "4000::/2",  # unassigned, segment routing
            "8000::/1",  # unassigned, unique local, link-local, site-local, multicast
            "2001::/23",  # protocol assignments, Teredo, ORCHID, benchmarks
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4 embeds IPv4
            "3ffe::/16",  # given back by the 6bone
            "3fff::/20",  # documentation
        ),
    )
)
WEB_PORTS = frozenset(DEFAULT_PORTS.values())  # elsewhere listens what is no web server, and takes it for orders
ISATAP = 0x5EFE  # the upper half of an interface identifier whose lower half is an IPv4 address
ISATAP_UNIVERSAL_BIT = 0x0200_0000

REMEMBERED = 4096  # verdicts on hosts, and as many on their addresses

NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
NAME = re.compile(r"[a-z0-9._-]+")


def is_public(address: Address) -> bool:
    """Whether the address belongs to the public internet and to nothing that hides another address."""
    if isinstance(address, IPv6Address) and (address.scope_id or _is_isatap(address)):
        return False
    return not any(address in network for network in NOT_PUBLIC)


def _is_isatap(address: IPv6Address) -> bool:
    return (int(address) >> 32) & 0xFFFF_FFFF & ~ISATAP_UNIVERSAL_BIT == ISATAP


def plain_host(host: str) -> str:
    """The host in lower-case ASCII without escapes and trailing dot. Raises `ValueError` if it cannot be one."""
    return unquote(host).encode("idna").decode("ascii").lower().removesuffix(".")


def literal(host: str) -> Address | None:
    """The address a plain host stands for in any notation, None for a name. Raises `ValueError` for neither."""
    with suppress(ValueError):
        return ip_address(host)
    if NUMBER.fullmatch(host.rpartition(".")[2]):
        try:
            return IPv4Address(socket.inet_aton(host))
        except OSError:
            raise ValueError(f"{host} is no address") from None
    if not NAME.fullmatch(host):
        raise ValueError(f"{host!r} is no host")
    return None


@dataclass(frozen=True, slots=True)
class Exemption:
    """An entry of PIXCRAWLER_ALLOW_HOSTS: a name or a network, at one port or at every port (None)."""

    target: str | IPv4Network | IPv6Network
    port: int | None

    @classmethod
    def parse(cls, entry: str) -> Exemption:
        """From `name`, `address` or `network`, each with or without `:port`. Raises `UsageError`."""
        host, colon, port = entry.rpartition(":") if entry.count(":") == 1 or "]:" in entry else (entry, "", "")
        try:
            return cls(_target(host.removeprefix("[").removesuffix("]")), int(port) if colon else None)
        except ValueError:
            raise UsageError(f"PIXCRAWLER_ALLOW_HOSTS: {entry!r} is no host, host:port, address or network") from None

    def covers(self, target: str | Address, port: int) -> bool:
        if self.port not in (None, port):
            return False
        if isinstance(self.target, str) or isinstance(target, str):
            return self.target == target
        return target in self.target


def _target(host: str) -> str | IPv4Network | IPv6Network:
    with suppress(ValueError):
        return ip_network(host, strict=False)
    name = plain_host(host)
    if literal(name) is not None:
        raise ValueError("write the address in its usual form")
    return name


class Guard:
    """Decides what may be fetched: the public internet and the operator's exemptions."""

    def __init__(self, exemptions: Iterable[str] = ()) -> None:
        self.exemptions = tuple(map(Exemption.parse, exemptions))
        # Hosts come again with every picture.
        self._refusal_of_host = lru_cache(REMEMBERED)(self._judge_host)
        self._refusal_of_answer = lru_cache(REMEMBERED)(self._judge_answer)

    def allowed(self, target: str | Address, port: int) -> bool:
        """Whether an address may be connected to, or a name may have any address it likes."""
        if any(exemption.covers(target, port) for exemption in self.exemptions):
            return True
        return not isinstance(target, str) and port in WEB_PORTS and is_public(target)

    def refusal(self, url: str) -> str | None:
        """Why a URL must not be fetched, as far as it shows by itself; its name is judged when looked up."""
        try:
            parts = urlsplit(url)
        except ValueError as error:
            return f"not an address: {error}"
        return self._refusal_of_host(parts.scheme, parts.netloc)

    def _judge_host(self, scheme: str, netloc: str) -> str | None:
        try:
            parts = SplitResult(scheme, netloc, "", "", "")
            port = parts.port
            host = plain_host(parts.hostname or "")
            if scheme not in DEFAULT_PORTS:
                return f"{scheme or 'no scheme'}: only http and https are fetched"
            if "@" in netloc:
                return "the address carries a user name"
            address = literal(host)
        except ValueError as error:
            return f"not an address: {error}"
        port = DEFAULT_PORTS[scheme] if port is None else port
        if address is not None:
            return self.refusal_of_address(address, port)
        if port not in WEB_PORTS and not any(exemption.port in (None, port) for exemption in self.exemptions):
            return f"port {port} is none of the web's"
        return None

    def refusal_of_address(self, address: Address, port: int) -> str | None:
        """Why an address must not be connected to."""
        if self.allowed(address, port):
            return None
        return f"port {port} is none of the web's" if is_public(address) else f"{address} is not a public address"

    def refusal_of_answer(self, host: str, port: int, addresses: Sequence[str]) -> str | None:
        """Why the answer of a look-up must not be used: one bad address spoils the whole name."""
        return self._refusal_of_answer(host, port, tuple(addresses))

    def _judge_answer(self, host: str, port: int, addresses: tuple[str, ...]) -> str | None:
        try:
            if self.allowed(plain_host(host), port):
                return None
            refusals = (self.refusal_of_address(ip_address(text), port) for text in addresses)
            why = next(filter(None, refusals), None)
        except ValueError as error:
            return f"not an address: {error}"
        return f"{host}: {why}" if why else None
