"""`/.well-known/tdmrep.json`: the file of the TDM Reservation Protocol."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from pixcrawler.jobs import Reason
from pixcrawler.opt_outs import LIMIT, Denial, Kind, text_of

ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
UNRESERVED = frozenset(string.ascii_letters + string.digits + "-._~")  # RFC 3986
SHOWN = 200  # characters of what the file says


class Rule(NamedTuple):
    """What is said of the addresses that match a location, in which `*` is anything and a last `$` the end."""

    location: str
    reserved: bool
    policy: str


EVERYTHING = Rule("/", reserved=True, policy="")  # of a file that is too long: cut, it says nothing at all


class Tdmrep:
    """The rules of a host. The first that matches counts: so the specification names the most specific one."""

    def __init__(self, body: bytes) -> None:
        self._rules = tuple(_rules(body))

    def denial(self, url: str, kind: Kind) -> Denial | None:
        path = _path(url)
        rule = next((rule for rule in self._rules if _matches(rule.location, path)), None)
        if rule is None or not rule.reserved:
            return None
        policy = f", policy {rule.policy!r:.{SHOWN}}" if rule.policy else ""
        return Denial(Reason.TDMREP, f"tdmrep.json reserves {rule.location!r:.{SHOWN}}{policy}")


def _rules(body: bytes) -> Iterator[Rule]:
    """The rules that can be understood; the others are none."""
    if len(body) > LIMIT:
        yield EVERYTHING
        return
    try:
        content = json.loads(text_of(body))
    except (ValueError, RecursionError):
        return
    for entry in content if isinstance(content, list) else [content]:
        if isinstance(entry, dict) and (rule := _rule(entry)):
            yield rule


def _rule(entry: dict[str, Any]) -> Rule | None:
    location, reservation, policy = (entry.get(name) for name in ("location", "tdm-reservation", "tdm-policy"))
    if not isinstance(location, str) or reservation not in (0, 1, "0", "1"):
        return None
    location = re.sub(r"^https?://[^/]*", "", location)
    if not location.startswith(("/", "*")):
        location = f"/{location}"
    return Rule(_plain(location), reservation in (1, "1"), policy if isinstance(policy, str) else "")


def _path(url: str) -> str:
    """What locations are compared with: path and query, where `*` and `$` stand for nothing else."""
    parts = urlsplit(url)
    path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    return _plain(path).replace("*", "%2A").replace("$", "%24")


def _plain(text: str) -> str:
    """The text escaped where it must be, and nowhere else."""
    escaped = quote(text, safe=string.punctuation, errors="replace")
    return ESCAPE.sub(_unescaped, escaped)


def _unescaped(escape: re.Match[str]) -> str:
    character = chr(int(escape[1], 16))
    return character if character in UNRESERVED else escape[0].upper()


def _matches(location: str, path: str) -> bool:
    """Whether the path begins as the location says. Not by a regular expression: strangers write these."""
    whole = location.endswith("$")
    beginning, *others = location.removesuffix("$").split("*")
    if not path.startswith(beginning):
        return False
    if not others:
        return not whole or path == beginning
    *between, last = others
    position = len(beginning)
    for part in between:
        found = path.find(part, position)
        if found < 0:
            return False
        position = found + len(part)
    if whole:
        return path.endswith(last) and len(path) - len(last) >= position
    return path.find(last, position) >= 0
