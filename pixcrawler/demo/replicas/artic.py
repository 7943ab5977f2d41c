"""The Art Institute of Chicago as anybody meets it."""

from __future__ import annotations

import json
from typing import Any

from pixcrawler.demo.catalogue import Entry
from pixcrawler.demo.replicas import Answer, Asked, Replica

REACH = 1000
MOST = 100  # works in one answer
WIDTHS = (200, 400, 600, 843, 1686)  # of pictures it has ready
STEP = 150  # between the numbers of works
IMAGES = "/iiif/2"


class Artic(Replica):
    """Search alone, by words and a range of numbers: every work has a picture, and is in the public domain."""

    source = "artic"
    redesign = ('"image_id"', '"picture_id"')

    def page(self, asked: Asked) -> Answer | None:
        if asked.path != "/api/v1/artworks/search":
            return None
        question = json.loads(asked.query["params"])
        page, limit = question.get("page", 1), question.get("limit", 10)
        if limit > MOST:
            return self.scold(asked, failed("Invalid limit", "You have requested too many resources per page."))
        if page * limit > REACH:
            return self.scold(asked, failed("Invalid number of results", "You have requested too many results."))
        found = [entry for entry in self.entries(question["q"]) if is_within(self._id(entry), question)]
        shown = found[(page - 1) * limit : page * limit]
        answer = {
            "pagination": {"total": len(found), "limit": limit, "offset": (page - 1) * limit, "current_page": page},
            "data": [{name: work and work[name] for name in question["fields"]} for work in self.records(shown)],
            "config": {"iiif_url": f"{self.url}{IMAGES}", "website_url": "https://www.artic.edu"},
        }
        return Answer.json(answer)

    def limited(self, asked: Asked) -> Answer:
        return Answer.json({"message": "Too Many Attempts."}, 429, Retry_After="1")

    def _id(self, entry: Entry) -> int:
        return self._number(entry) * STEP + 1

    def record(self, entry: Entry) -> dict[str, Any]:
        for width in {*WIDTHS, entry.width or WIDTHS[-1]}:
            self.at(f"{IMAGES}/{entry.id}/full/{width},/0/default.jpg", entry)
        size = {"lqip": "data:image/gif;base64,", "width": entry.width, "height": entry.height, "alt_text": entry.title}
        return {
            "id": self._id(entry),
            "title": entry.title,
            "artist_title": entry.creator,
            "is_public_domain": True,
            "image_id": entry.id,
            "thumbnail": size if entry.width else None,
        }


def is_within(number: int, question: dict[str, Any]) -> bool:
    """Whether the work's number fits the question."""
    conditions = question.get("query", {}).get("bool", {}).get("must", [])
    ranges = [one["range"]["id"] for one in conditions if "range" in one]
    return all(one.get("gte", 0) <= number <= one.get("lte", number) for one in ranges)


def failed(error: str, detail: str) -> Answer:
    """Its errors have three fields."""
    return Answer.json({"status": 403, "error": error, "detail": detail}, 403)
