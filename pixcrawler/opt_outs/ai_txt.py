"""`/ai.txt` as Spawning's generator writes it: the grammar of robots.txt, rules about kinds of files.

`Disallow: *.c` means files that end so, not every address with ".c" in it, as it would in robots.txt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

from protego import Protego

from pixcrawler.jobs import Reason
from pixcrawler.opt_outs import Denial, Kind, text_of

KEPT_ENDINGS = ("jpg", "jpeg", "png", "webp", "gif")  # of what we keep
IMAGE_ENDINGS = frozenset({*KEPT_ENDINGS, "jpe", "jfif", "apng", "avif", "bmp", "heic", "jxl", "svg", "tif", "tiff"})
FILE_RULE = re.compile(
    r"^([ \t]*(?:dis)?allow[ \t]*:[ \t]*)/?(\*\.\w+)\$?(?=[ \t\r]*(?:#.*)?$)", re.IGNORECASE | re.MULTILINE
)
ENDING = re.compile(r"\.(\w+)$")


class AiTxt:
    """The rules of a host for an agent, by its product token."""

    def __init__(self, body: bytes, agent: str) -> None:
        self._rules = Protego.parse(FILE_RULE.sub(_about_endings, text_of(body)))
        self._agent = agent

    def denial(self, url: str, kind: Kind) -> Denial | None:
        for name in _names(url, kind):
            if not self._rules.can_fetch(name, self._agent):
                return Denial(Reason.AI_TXT, f"ai.txt disallows {_what(name)}for {self._agent}")
        return None


def _about_endings(rule: re.Match[str]) -> str:
    return f"{rule[1]}{rule[2].lower()}$"


def _names(url: str, kind: Kind) -> Iterator[str]:
    """The address as rules see it: no query, a small ending. A picture without an ending may be of any kind we keep."""
    scheme, host, path, *_ = urlsplit(url)
    ending = ENDING.search(path)
    if ending is not None:
        path = path[: ending.start(1)] + ending[1].lower()
    paths = [path]
    if kind is Kind.IMAGE and (ending is None or ending[1].lower() not in IMAGE_ENDINGS):
        paths = [f"{path}.{kept}" for kept in KEPT_ENDINGS]
    yield from (urlunsplit((scheme, host, each or "/", "", "")) for each in paths)


def _what(name: str) -> str:
    ending = ENDING.search(name)
    return f".{ending[1]} " if ending and ending[1] in IMAGE_ENDINGS else ""
