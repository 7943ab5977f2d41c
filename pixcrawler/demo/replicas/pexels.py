"""Pexels' API, as a client with a key meets it."""

from __future__ import annotations

from typing import Any

from pixcrawler.demo.catalogue import Entry
from pixcrawler.demo.replicas import Answer, Asked, Replica

WINDOW = 8000  # results of one question, however many there are
MOST_ON_A_PAGE = 80
SIZES = ("large2x", "large", "medium", "small", "portrait", "landscape", "tiny")


class Pexels(Replica):
    """Its first page is one picture short, the last makes up for it; the address of the next page leads nowhere."""

    source = "pexels"
    redesign = ('"original"', '"raw"')

    def page(self, asked: Asked) -> Answer | None:
        if asked.path != "/v1/search":
            return None
        key = asked.headers.get("authorization", "")
        if key in ("", "another") or " " in key:  # with a word before it, it is no key
            return Answer.json({"code": "Unauthorized", "message": "Invalid API key", "status": 401}, 401)
        if not asked.query.get("query"):
            return Answer.json({"code": "Bad Request", "message": "Query is missing", "status": 400}, 400)
        found = self.entries(asked.query["query"])[:WINDOW]
        number = int(asked.query.get("page", 1))
        size = min(int(asked.query.get("per_page", 15)), MOST_ON_A_PAGE)
        begin = max(0, (number - 1) * size - 1)
        end = len(found) if number * size >= len(found) else number * size - 1
        answer = {
            "page": number,
            "per_page": size,
            "photos": self.records(found[begin:end]),
            "total_results": len(found),
            "next_page": f"{self.url}/v1/v1/search?page={number + 1}&per_page={size}",
        }
        reply = Answer.json(answer, X_Ratelimit_Remaining="19000", X_Ratelimit_Reset="1900000000")
        return self.scold(asked, reply) if (number - 1) * size >= max(len(found), 1) else reply

    def limited(self, asked: Asked) -> Answer:
        return Answer.json({"code": "Too Many Requests", "status": 429}, 429)

    def record(self, entry: Entry) -> dict[str, Any]:
        name = entry.creator or "Someone"
        return {
            "id": self.serial(entry),
            "width": entry.width or 1600,
            "height": entry.height or 1200,
            "url": f"{self.url}/photo/a-view-{entry.id}/",
            "photographer": name,
            "photographer_url": f"{self.url}/@{name.split()[0].lower()}",
            "photographer_id": len(name),
            "avg_color": "#7A6F5C",
            "src": {"original": self.address(entry), **{size: f"{self.address(entry)}?w={size}" for size in SIZES}},
            "liked": False,
            "alt": entry.title,
        }
