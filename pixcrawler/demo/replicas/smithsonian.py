"""Smithsonian Open Access behind api.data.gov, as a client with a key meets it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from typing import Any

from pixcrawler.demo.catalogue import Entry
from pixcrawler.demo.replicas import Answer, Asked, Replica

SEARCH = "/openaccess/api/v1.0/search"
ONLY = " AND online_media_type:Images AND media_usage:CC0"
MOST_ROWS = 1000
FILES_OF_A_ROW = (1, 1, 1, 2)
OF_OTHER_KINDS = (
    {"type": "3d_package", "content": "3d", "usage": {"access": "CC0"}},
    {"type": "Images", "content": "restricted", "usage": {"access": "Usage conditions apply"}},
)


class Smithsonian(Replica):
    """A row is a thing of a museum, with one picture or two, sometimes with files that are not free or no pictures."""

    source = "smithsonian"
    redesign = ('"online_media"', '"onlineMedia"')

    def page(self, asked: Asked) -> Answer | None:
        if asked.path != SEARCH:
            return None
        key = asked.headers.get("x-api-key") or asked.query.get("api_key")
        if not key:
            return _failure(403, "API_KEY_MISSING", "No api_key was supplied.")
        if key == "another":
            return _failure(403, "API_KEY_INVALID", "An invalid api_key was supplied.")
        keyword = asked.query.get("q", "").removesuffix(ONLY).removeprefix("(").removesuffix(")")
        rows = list(self._rows(self.entries(keyword)))
        begin, number = int(asked.query.get("start", 0)), min(int(asked.query.get("rows", 10)), MOST_ROWS)
        response = {"rows": rows[begin : begin + number], "rowCount": len(rows), "facets": {}, "message": "found"}
        return Answer.json({"status": 200, "responseCode": 1, "response": response})

    def limited(self, asked: Asked) -> Answer:
        return _failure(429, "OVER_RATE_LIMIT", "You have exceeded your rate limit. Try again later.")

    def _rows(self, entries: Sequence[Entry]) -> Iterator[dict[str, Any]]:
        rest, sizes = iter(entries), cycle(FILES_OF_A_ROW)
        while group := list(islice(rest, next(sizes))):
            yield self._row(group)

    def _row(self, group: Sequence[Entry]) -> dict[str, Any]:
        first = group[0]
        page = f"{self.url}/object/{first.id}"
        media = [*self.records(group), *(OF_OTHER_KINDS if self._number(first) % 5 == 1 else ())]
        names = [{"label": "Collector", "content": "B. Collector"}, {"label": "Artist", "content": first.creator}]
        about = {
            "guid": f"{page}#guid",
            "record_ID": f"views_{first.id}",
            "record_link": page,
            "title": {"content": first.title, "label": "Title"},
            "online_media": {"mediaCount": len(media), "media": media},
        }
        return {
            "id": f"ld1-{first.id}",
            "title": first.title,
            "url": f"edanmdm:views_{first.id}",
            "content": {"descriptiveNonRepeating": about, "freetext": {"name": names if first.creator else names[:1]}},
        }

    def record(self, entry: Entry) -> dict[str, Any]:
        best = {"label": "High-resolution JPEG", "url": self.address(entry), "width": entry.width or 0, "height": 1200}
        screen = {"label": "Screen Image", "url": f"{self.address(entry)}?screen"}
        has_files = self._number(entry) % 4
        return {
            "type": "Images",
            "idsId": entry.id,
            "content": f"{self.address(entry)}?screen" if has_files else self.address(entry),
            "thumbnail": f"{self.address(entry)}?thumbnail",
            "usage": {"access": "CC0"},
            **({"resources": [screen, best]} if has_files else {}),
        }


def _failure(status: int, code: str, message: str) -> Answer:
    return Answer.json({"error": {"code": code, "message": message}}, status)
