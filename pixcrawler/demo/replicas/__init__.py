"""Loopback servers that behave as the sources do: their pages, their limits, their refusals, over invented pictures.

One file per source, named like it, with one `Replica` in it. The demo crawls them, and so do tests.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib import import_module
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit
from zlib import crc32

from pixcrawler.demo import bodies, catalogue
from pixcrawler.demo.catalogue import Content, Entry, Kind

NOTHING = "nothing"  # a keyword with this word in it finds nothing
PICTURES = 1000  # different ones; of more entries some look alike


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: `query` has the last value of each parameter, `headers` have lower-case names."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    method: str = "GET"
    body: bytes = b""

    @property
    def cookies(self) -> dict[str, str]:
        """What the client was given, or has made up."""
        pairs = (pair.partition("=") for pair in self.headers.get("cookie", "").split(";"))
        return {name.strip(): value.strip() for name, _, value in pairs if name.strip()}


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, content: Any, status: int = 200, **headers: str) -> Answer:
        """As JSON; headers are named with underscores."""
        return cls.text(json.dumps(content, ensure_ascii=False), "application/json", status, **headers)

    @classmethod
    def text(cls, content: str, media_type: str = "text/html; charset=utf-8", status: int = 200, **more: str) -> Answer:
        """As text of some kind."""
        headers = {name.replace("_", "-"): value for name, value in more.items()}
        return cls(content.encode(), status, {"Content-Type": media_type, **headers})


class Replica:
    """The base of all: subclasses implement `page` and `limited`, and answer with `records`."""

    source: ClassVar[str]  # its spider's name
    redesign: ClassVar[
        tuple[str, str]
    ]  # a change of its pages after which they cannot be read: what was there, what is

    def __init__(self, total: int = 150) -> None:
        self.total = total  # how many pictures there are of every keyword
        self.url = ""  # the address before every path, once it is served
        self.limits = 0  # so many of the next pages are answered with the source's own limit signal
        self.broken: frozenset[int] = frozenset()  # the numbers of pictures, from 0, whose records are spoiled
        self.mutations: dict[str, str] = {}  # replaced in every page: what a source does when it changes
        self.asked: list[Asked] = []  # every request but those for pictures
        self.scolded: list[Asked] = []  # the questions a client should not have asked, see `scold`
        self.fetched: Counter[str] = Counter()  # how often each picture was asked for, by path
        self._by_path: dict[str, Entry] = {}
        self._by_keyword: dict[str, list[Entry]] = {}

    def arguments(self, keyword: str) -> dict[str, str]:
        """What a crawl of it is told with `-a`."""
        return {"keywords": keyword, "base_url": self.url}

    def page(self, asked: Asked) -> Answer | None:
        """What the source answers. None: it has no such page."""
        raise NotImplementedError

    def limited(self, asked: Asked) -> Answer:
        """How the source says that it is asked too often."""
        return Answer.text("Too Many Requests", "text/plain", 429, Retry_After="1")

    def spoiled(self, record: Any) -> Any:
        """A record as no client expects it."""
        return None

    def records(self, entries: Sequence[Entry]) -> list[Any]:
        """The records of some entries."""
        return [
            self.spoiled(self.record(one)) if self._number(one) in self.broken else self.record(one) for one in entries
        ]

    def record(self, entry: Entry) -> Any:
        """What the source tells of a picture."""
        raise NotImplementedError

    def entries(self, keyword: str) -> list[Entry]:
        """All there are of a keyword: always the same, in the same order."""
        if NOTHING in keyword:
            return []
        if keyword not in self._by_keyword:
            entries = [_entry(keyword, number) for number in range(self.total)]
            self._by_keyword[keyword] = entries
            self._by_path |= {entry.path: entry for entry in entries}
        return self._by_keyword[keyword]

    def _number(self, entry: Entry) -> int:
        return int(entry.id.rpartition("-")[2])

    def serial(self, entry: Entry) -> int:
        """A number that no picture of another keyword has; it grows with the picture's own."""
        return int(entry.id.partition("-")[0], 16) % 1000 * 1_000_000 + self._number(entry)

    def address(self, entry: Entry) -> str:
        """Where the picture is."""
        return self.url + entry.path

    def at(self, path: str, entry: Entry) -> str:
        """The address of the picture under another path, where it is from now on too."""
        self._by_path[path] = entry
        return self.url + path

    def original(self, url: str) -> str:
        """The `address` of the picture that a URL of the source is of."""
        entry = self._by_path.get(unquote(urlsplit(url).path))
        return self.address(entry) if entry else url

    def scold(self, asked: Asked, answer: Answer) -> Answer:
        """The answer to a question past a limit the source has told of; it is written down."""
        self.scolded.append(asked)
        return answer

    def answer(self, asked: Asked) -> Answer:
        """What is served: pages, pictures, and what goes wrong."""
        if entry := self._by_path.get(asked.path):
            self.fetched[asked.path] += 1
            return Answer(bodies.body(entry), headers={"Content-Type": "image/jpeg"})
        if asked.path in ("/robots.txt", "/ai.txt", "/.well-known/tdmrep.json"):
            return Answer(status=404)
        self.asked.append(asked)
        if self.limits:
            self.limits -= 1
            return self.limited(asked)
        return self._mutated(self.page(asked) or Answer.text("<h1>Not Found</h1>", status=404))

    def _mutated(self, answer: Answer) -> Answer:
        body = answer.body
        for old, new in self.mutations.items():
            body = body.replace(old.encode(), new.encode())
        return replace(answer, body=body)


@lru_cache(maxsize=50_000)
def _entry(keyword: str, number: int) -> Entry:
    """A good picture; what is told of it varies with its number, from 0."""
    subject = keyword if keyword in catalogue.KEYWORDS else catalogue.KEYWORDS[crc32(keyword.encode()) % 2]
    seed = crc32(keyword.encode()) % 1_000_000 + number % PICTURES
    entry = catalogue.entry(Kind.GOOD, Content(subject, seed, "jpg", 85), number)
    return replace(entry, id=f"{crc32(keyword.encode()):x}-{number}", keyword=keyword)


def replica_of(source: str, total: int = 150) -> Replica:
    """The replica of a source. Raises `ModuleNotFoundError` for one there is none of."""
    module = import_module(f"{__name__}.{source}")
    kind = next(kind for kind in vars(module).values() if isinstance(kind, type) and _is_own(kind, module.__name__))
    replica: Replica = kind(total)
    return replica


def _is_own(kind: type, module: str) -> bool:
    return issubclass(kind, Replica) and kind.__module__ == module
