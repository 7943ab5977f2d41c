"""NASA's Image and Video Library as anybody meets it."""

from __future__ import annotations

from typing import Any

from pixcrawler.demo.catalogue import Entry
from pixcrawler.demo.replicas import Answer, Asked, Replica

REACH = 10_000
PAGE_SIZE = 100
FILES = "/collection.json"
TOO_FAR = "Maximum number of search results have been displayed. Please refine your search."


class Nasa(Replica):
    """Search, and lists of files. There are spaces in addresses, and some pictures have no original."""

    source = "nasa"
    redesign = ('"href"', '"link"')

    def __init__(self, total: int = 150) -> None:
        super().__init__(total)
        self._by_name: dict[str, Entry] = {}

    def page(self, asked: Asked) -> Answer | None:
        if asked.path == "/search":
            return self._search(asked)
        entry = self._by_name.get(asked.path.removeprefix("/image/").removesuffix(FILES))
        return Answer.json(self._files(entry)) if entry and asked.path.endswith(FILES) else None

    def _search(self, asked: Asked) -> Answer:
        page, size = int(asked.query.get("page", 1)), int(asked.query.get("page_size", PAGE_SIZE))
        if page * size > REACH:
            return self.scold(asked, Answer.json({"reason": TOO_FAR}, 400))
        years = range(int(asked.query.get("year_start", 0)), int(asked.query.get("year_end", 9999)) + 1)
        found = [entry for entry in self.entries(asked.query["q"]) if year(entry) in years]
        collection = {
            "version": "1.1",
            "href": f"{self.url}/search",
            "items": self.records(found[(page - 1) * size : page * size]),
            "metadata": {"total_hits": len(found)},
        }
        return Answer.json({"collection": collection})

    def record(self, entry: Entry) -> dict[str, Any]:
        name = f"PIA {entry.id}"
        self._by_name[name] = entry
        facts = {
            "nasa_id": name,
            "title": entry.title,
            "description": f"Seen from above: {entry.title}. Image credit: NASA",
            "date_created": f"{year(entry)}-05-04T00:00:00Z",
            "center": "JPL",
            "media_type": "image",
            "keywords": entry.keyword.split(),
        }
        folder = f"{self.url}/image/{name}"
        return {
            "href": folder + FILES,
            "data": [facts | ({"photographer": entry.creator} if entry.creator else {})],
            "links": [{"href": f"{folder}/{name}~thumb.jpg", "rel": "preview", "render": "image"}],
        }

    def _files(self, entry: Entry) -> list[str]:
        path = f"/image/PIA {entry.id}/PIA {entry.id}"
        best = "~large.jpg" if self._number(entry) % 5 == 4 else "~orig.jpg"
        others = [f"{self.url}{path}{size}" for size in ("~medium.jpg", "~small.jpg", "~thumb.jpg")]
        return [f"{self.url}/image/PIA {entry.id}/metadata.json", *others, self.at(path + best, entry)]


def year(entry: Entry) -> int:
    """When the picture was taken."""
    return 2001 + int(entry.id.rpartition("-")[2]) % 20
