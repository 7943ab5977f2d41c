"""Europeana's search, as a client with a key meets it."""

from __future__ import annotations

from typing import Any

from pixcrawler.demo.catalogue import Entry
from pixcrawler.demo.replicas import Answer, Asked, Replica

MOST_ON_A_PAGE = 100
DEPTH = 1000  # results that `start` leads to; farther leads only a cursor
OPEN = frozenset({"by", "by-sa", "cc0", "pdm"})


class Europeana(Replica):
    """Its answers repeat the key: by itself, in a record's link and in the address of its page."""

    source = "europeana"
    redesign = ('"edmIsShownBy"', '"isShownBy"')

    def page(self, asked: Asked) -> Answer | None:
        if asked.path != "/record/v2/search.json":
            return None
        key = asked.headers.get("x-api-key") or asked.query.get("wskey", "")
        if key in ("", "another"):
            return _failure(401, "Invalid API key", key)
        found = [entry for entry in self.entries(asked.query.get("query", "")) if _is_within(entry, asked.query)]
        rows = min(int(asked.query.get("rows", 12)), MOST_ON_A_PAGE)
        begin = self._begin(asked)
        if begin is None:
            return _failure(400, "The cursor or start is not valid", key)
        answer = {
            "apikey": key,
            "success": True,
            "requestNumber": 999,
            "itemsCount": len(found[begin : begin + rows]),
            "totalResults": len(found),
            "items": [_with_key(record, key) for record in self.records(found[begin : begin + rows])],
        }
        more = {"nextCursor": f"AoE{begin + rows:x}=="} if "cursor" in asked.query and begin + rows < len(found) else {}
        return Answer.json(answer | more)

    def _begin(self, asked: Asked) -> int | None:
        """How many results lie before the page; None: it cannot be had."""
        cursor, start = asked.query.get("cursor"), int(asked.query.get("start", 1))
        if cursor is None:
            return start - 1 if start <= DEPTH else None
        if cursor == "*":
            return 0
        return int(cursor[3:-2], 16) if cursor.startswith("AoE") and cursor.endswith("==") else None

    def limited(self, asked: Asked) -> Answer:
        return Answer.json({"success": False, "error": "Usage limit reached"}, 429, Retry_After="1")

    def record(self, entry: Entry) -> dict[str, Any]:
        creators = [f"{self.url}/agent/{self._number(entry)}", *filter(None, [entry.creator])]
        return {
            "id": f"/2099/{entry.id}",
            "type": "IMAGE",
            "title": [entry.title, f"Ansicht {self._number(entry)}"],
            "dcCreator": creators,
            "dataProvider": ["A Museum of Views"],
            "edmIsShownAt": [f"{self.url}/object/{entry.id}"],
            "edmIsShownBy": [self.address(entry)],
            "edmPreview": [f"{self.url}/thumbnail/{entry.id}"],
            "rights": [entry.license.url.replace("https:", "http:")],
        }


def _with_key(record: Any, key: str) -> Any:
    if record is None:
        return None
    page, link = f"https://www.europeana.eu/item{record['id']}", f"https://api.europeana.eu/record/v2{record['id']}"
    return record | {"guid": f"{page}?utm_source=api&utm_campaign={key}", "link": f"{link}.json?wskey={key}"}


def _is_within(entry: Entry, asked: dict[str, str]) -> bool:
    return asked.get("reusability") != "open" or entry.license.slug in OPEN


def _failure(status: int, message: str, key: str) -> Answer:
    return Answer.json({"apikey": key, "success": False, "error": message}, status)
