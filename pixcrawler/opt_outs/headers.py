"""Headers of an answer: `X-Robots-Tag`, `tdm-reservation`, `Content-Type`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from pixcrawler.jobs import Reason
from pixcrawler.opt_outs import Denial, Kind

RESERVED = {
    Kind.IMAGE: frozenset({"noai", "noimageai", "noml", "noindex", "noimageindex", "none"}),
    Kind.PAGE: frozenset({"noai", "noml", "noindex", "none"}),
}
WITH_VALUE = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
AGENT = re.compile(r"[a-z*][\w.*/-]*", re.ASCII)
EVERYBODY = frozenset({"", "*", "robots"})

# Not text/plain: servers say it of what they do not know, as they say application/octet-stream.
NO_IMAGE = re.compile(
    r"(?:audio|font|message|model|multipart|video)/|text/(?!plain\b)|application/[\w.-]+\+(?:json|xml)\b"
    r"|application/(?:json|xml|pdf|javascript|ecmascript|msword|rtf|wasm|x-shockwave-flash)\b"
)
SHOWN = 200  # characters of what the header says


def x_robots_tag(values: Iterable[str], agent: str, kind: Kind) -> Denial | None:
    """What the headers of this name, one value each, reserve from `agent`, by its product token."""
    for value in values:
        for scope, directive in _directives(value):
            if (scope in EVERYBODY or scope.partition("/")[0] == agent.lower()) and directive in RESERVED[kind]:
                named = f"{scope}: " if scope else ""
                return Denial(Reason.X_ROBOTS_TAG, f"X-Robots-Tag: {named}{directive}"[:SHOWN])
    return None


def _directives(value: str) -> Iterator[tuple[str, str]]:
    """Each directive with the agent it is for, "" for all: a name with a colon is for all that follows it."""
    scope = ""
    for part in value.lower().split(","):
        name, colon, rest = (piece.strip() for piece in part.partition(":"))
        if colon and name in WITH_VALUE:
            continue
        if colon and AGENT.fullmatch(name):
            scope, name = name, rest.partition(":")[0].strip()
        yield scope, name


def tdm_reservation(values: Iterable[str], policies: Iterable[str]) -> Denial | None:
    """What `tdm-reservation` reserves; any value but 1 reserves nothing."""
    if not any(word.strip() == "1" for value in values for word in value.split(",")):
        return None
    policy = "".join(f", policy {policy!r:.{SHOWN}}" for policy in list(policies)[:1])
    return Denial(Reason.TDM_RESERVATION, f"tdm-reservation: 1{policy}")


def no_image(content_type: str) -> Denial | None:
    """Whether the answer is clearly not a picture; nothing, and what may mean anything, is not clear."""
    if not NO_IMAGE.match(content_type.strip().lower()):
        return None
    return Denial(Reason.NOT_AN_IMAGE, f"Content-Type: {content_type.strip()!r:.{SHOWN}}")
