"""The Internet Archive as anybody meets it."""

from __future__ import annotations

import re
from typing import Any

from pixcrawler.demo.catalogue import Entry
from pixcrawler.demo.replicas import Answer, Asked, Replica

SEARCH, METADATA = "/services/search/v1/scrape", "/metadata/"
LEAST, MOST = 100, 10_000  # items in one answer
QUESTION = re.compile(r"mediatype:image AND \((.*?)\)")
DARK = "dark-"


class InternetArchive(Replica):
    """Search and items. One item in ten has two pictures, some are dark."""

    source = "internetarchive"
    redesign = ('"files"', '"contents"')

    def __init__(self, total: int = 150) -> None:
        super().__init__(total)
        self._items: dict[str, list[Entry]] = {}

    def page(self, asked: Asked) -> Answer | None:
        if asked.path == SEARCH:
            return self._search(asked)
        if asked.path.startswith(METADATA):
            return Answer.json(self._item(asked.path.removeprefix(METADATA)))
        return None

    def _search(self, asked: Asked) -> Answer:
        count, question = int(asked.query.get("count", MOST)), QUESTION.match(asked.query["q"])
        if not question or not LEAST <= count <= MOST:
            told = {"error": f"count must be between {LEAST} and {MOST}", "errorType": "RangeException"}
            return self.scold(asked, Answer.json(told, 400))
        names = self._names(question.group(1))
        begin = int(asked.query.get("cursor", "page-0").removeprefix("page-"))
        items = [{"identifier": name} for name in names[begin : begin + count]]
        goes_on = {"cursor": f"page-{begin + count}"} if begin + count < len(names) else {}
        return Answer.json({"items": items, "count": len(items), "total": len(names), **goes_on})

    def _names(self, keyword: str) -> list[str]:
        names: list[str] = []
        for place, entry in enumerate(self.entries(keyword)):
            name = f"demo_{entry.id}"
            if place % 10 == 5:
                self._items[names[-1]].append(entry)
                continue
            if place % 30 == 7:
                names.append(f"{DARK}{entry.id}")
            self._items[name] = [entry]
            names.append(name)
        return names

    def _item(self, name: str) -> Any:
        entries = self._items.get(name)
        if not entries:
            return {}
        records = self.records(entries)
        if None in records:
            return None
        for entry, record in zip(entries, records, strict=True):
            self.at(f"/download/{name}/{record[0]['name']}", entry)
        files, entry = [file for record in records for file in record], entries[0]
        files.append({"name": "__ia_thumb.jpg", "source": "original", "format": "Item Tile", "size": "4096"})
        files.append({"name": f"{name}_meta.xml", "source": "original", "format": "Metadata", "size": "812"})
        told = {"identifier": name, "mediatype": "image", "title": entry.title, "licenseurl": entry.license.url}
        creator = {"creator": [entry.creator, "a friend"] if entry.creator == "anna&paul" else entry.creator}
        files_at = {"server": "ia800000.example", "dir": f"/1/items/{name}", "files_count": len(files), "files": files}
        return {**files_at, "metadata": told | (creator if entry.creator else {})}

    def record(self, entry: Entry) -> list[dict[str, Any]]:
        name = f"scan {self._number(entry)}"
        size = {"width": str(entry.width), "height": str(entry.height)} if entry.width else {}
        original = {
            "name": f"{name}.jpg",
            "source": "original",
            "format": "JPEG",
            "size": str(entry.filesize or 999),
            **size,
        }
        return [original, {"name": f"{name}_thumb.jpg", "source": "derivative", "format": "JPEG Thumb"}]
