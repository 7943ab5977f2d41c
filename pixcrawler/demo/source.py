"""The demo's image source, running."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from threading import Thread
from typing import Self

from pixcrawler.demo import api, catalogue
from pixcrawler.demo.catalogue import Entry
from pixcrawler.demo.server import Server

COLUMNS = ("url", "caption", "keyword", "license", "license_url", "creator", "page_url")


class DemoSource:
    """A loopback server that speaks Openverse's API; serves its catalogue within a `with` block.

    `slow_seconds` is how long a slow picture takes.
    """

    def __init__(self, entries: Sequence[Entry] | None = None, *, slow_seconds: float = 3.0) -> None:
        self.entries = catalogue.build() if entries is None else tuple(entries)
        self._server = Server(self.entries, slow_seconds)
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), name="demo source", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """The address before every path, without a slash at its end."""
        return self._server.url

    @property
    def hits(self) -> dict[str, int]:
        """How often each path was asked for so far; queries do not count apart."""
        return self._server.hits()

    @property
    def keywords(self) -> tuple[str, ...]:
        """What can be searched for."""
        return tuple(dict.fromkeys(entry.keyword for entry in self.entries))

    def refuse(self, searches: int) -> None:
        """Answers the next searches with 429 and asks for a second's pause."""
        self._server.refuse(searches)

    def address(self, entry: Entry) -> str:
        """Where the entry's picture is."""
        return self.url + entry.path

    def write_list(self, path: Path) -> None:
        """Writes the entries that have a place in the list of addresses, as CSV with a header."""
        with path.open("w", encoding="utf-8", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(COLUMNS)
            lines.writerows(self._line(entry) for entry in self.entries if entry.in_list)

    def _line(self, entry: Entry) -> tuple[str | None, ...]:
        said = entry.license
        name = f"{said.slug} {said.version}"
        page = api.landing_url(entry, self.url)
        return self.address(entry), entry.title, entry.keyword, name, said.url, entry.creator, page
