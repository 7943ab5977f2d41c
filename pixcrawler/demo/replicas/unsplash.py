"""Unsplash's API, as an application with an access key meets it."""

from __future__ import annotations

from collections import Counter
from math import ceil
from typing import Any

from pixcrawler.demo.catalogue import Entry
from pixcrawler.demo.replicas import Answer, Asked, Replica

WINDOW = 10_001  # results of one question, however many there are
MOST_ON_A_PAGE = 30


class Unsplash(Replica):
    """Search, and the way to a picture: `told` counts how often each was said to be downloaded, by id."""

    source = "unsplash"
    redesign = ('"download_location"', '"download_place"')

    def __init__(self, total: int = 150) -> None:
        super().__init__(total)
        self.told: Counter[str] = Counter()

    def page(self, asked: Asked) -> Answer | None:
        scheme, _, key = asked.headers.get("authorization", "").partition(" ")
        if scheme != "Client-ID" or key in ("", "another"):
            return Answer.json({"errors": ["OAuth error: The access token is invalid"]}, 401)
        if asked.path == "/search/photos":
            return self._search(asked)
        _, _, rest = asked.path.partition("/photos/")
        return self._download(rest.removesuffix("/download")) if rest.endswith("/download") else None

    def _search(self, asked: Asked) -> Answer:
        if not asked.query.get("query"):
            return Answer.json({"errors": ["query is missing"]}, 400)
        found = self.entries(asked.query["query"])[:WINDOW]
        number = int(asked.query.get("page", 1))
        size = min(int(asked.query.get("per_page", 10)), MOST_ON_A_PAGE)
        results = self.records(found[(number - 1) * size : number * size])
        if number < 3 and results and results[-1]:
            results.insert(number, results[-1] | ADVERTISEMENTS[number - 1])
        pages = ceil(len(found) / size)
        said = {"total": len(found), "total_pages": pages, "results": results}
        answer = Answer.json(said, X_Total=str(len(found)), X_Per_Page=str(size), X_Ratelimit_Remaining="40")
        return self.scold(asked, answer) if number > max(pages, 1) else answer

    def _download(self, number: str) -> Answer:
        entry = self._by_path.get(f"/images/{number}.jpg")
        if entry is None:
            return Answer.json({"errors": ["Couldn't find Photo"]}, 404)
        self.told[number] += 1
        return Answer.json({"url": f"{self.address(entry)}?ixlib=rb-4.0.3&q=85&fm=jpg&crop=entropy&cs=srgb"})

    def limited(self, asked: Asked) -> Answer:
        return Answer.text("Rate Limit Exceeded", "application/json", 403, X_Ratelimit_Remaining="0")

    def record(self, entry: Entry) -> dict[str, Any]:
        name = entry.creator or "Someone"
        person = name.split()[0].lower()
        return {
            "id": entry.id,
            "slug": f"a-view-{entry.id}",
            "width": entry.width or 1600,
            "height": entry.height or 1200,
            "description": entry.title if self._number(entry) % 4 else None,
            "alt_description": f"a view of {entry.keyword}",
            "urls": {size: f"{self.address(entry)}?ixid=M3w&w={size}" for size in ("raw", "full", "regular", "small")},
            "links": {
                "self": f"{self.url}/photos/{entry.id}",
                "html": f"{self.url}/view/{entry.id}",
                "download_location": f"{self.url}/photos/{entry.id}/download?ixid=M3w",
            },
            "sponsorship": None,
            "user": {"username": person, "name": name, "links": {"html": f"{self.url}/@{person}"}},
        }


ADVERTISEMENTS = (
    {"id": "advertised", "sponsorship": {"tagline": "Better tents", "sponsor": {"name": "A shop of tents"}}},
    {"id": "for-subscribers", "premium": True, "plus": True},
)
