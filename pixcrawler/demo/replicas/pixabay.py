"""Pixabay's API, as a client with a key but without full access meets it."""

from __future__ import annotations

from math import ceil
from typing import Any

from pixcrawler.demo.catalogue import Entry
from pixcrawler.demo.replicas import Answer, Asked, Replica

WINDOW = 500  # results of one question, however many there are
ON_A_PAGE = range(3, 201)
LONGEST_QUESTION = 100  # characters
COLOURS = (
    *("transparent", "red", "orange", "yellow", "green", "blue", "pink", "brown", "black", "white", "gray"),
    *("grayscale", "turquoise", "lilac"),
)


class Pixabay(Replica):
    """A question is narrowed by orientation and colour. Errors are plain text."""

    source = "pixabay"
    redesign = ('"largeImageURL"', '"bigImageURL"')

    def page(self, asked: Asked) -> Answer | None:
        if asked.path != "/api/":
            return None
        if asked.query.get("key") in (None, "", "another"):
            return _wrong("Invalid or missing API key (https://pixabay.com/api/docs/).")
        size, number = int(asked.query.get("per_page", 20)), int(asked.query.get("page", 1))
        if size not in ON_A_PAGE:
            return _wrong('"per_page" is out of valid range.')
        if len(asked.query.get("q", "")) > LONGEST_QUESTION:
            return _wrong('"q" must have at most 100 characters.')
        found = [entry for entry in self.entries(asked.query.get("q", "")) if self._is_within(entry, asked.query)]
        shown = found[:WINDOW]
        if number > max(1, ceil(len(shown) / size)):
            return self.scold(asked, _wrong('"page" is out of valid range.'))
        hits = self.records(shown[(number - 1) * size : number * size])
        answer = {"total": len(found), "totalHits": len(shown), "hits": hits}
        return Answer.json(answer, X_RateLimit_Remaining="90", X_RateLimit_Reset="50")

    def limited(self, asked: Asked) -> Answer:
        return Answer.text("[ERROR 429] API rate limit exceeded", "text/plain", 429, X_RateLimit_Reset="1")

    def _is_within(self, entry: Entry, asked: dict[str, str]) -> bool:
        width, height = _size(entry)
        orientation = "horizontal" if width > height else "vertical"
        colour = COLOURS[self._number(entry) % len(COLOURS)]
        return asked.get("orientation", orientation) == orientation and asked.get("colors", colour) == colour

    def record(self, entry: Entry) -> dict[str, Any]:
        width, height = _size(entry)
        number = self.serial(entry)
        return {
            "id": number,
            "pageURL": f"{self.url}/photos/view-{number}/",
            "type": "photo",
            "tags": ", ".join(entry.keyword.split()),
            "previewURL": f"{self.address(entry)}?150",
            "webformatURL": f"{self.address(entry)}?640",
            "largeImageURL": self.at(f"/get/{entry.id}_1280.jpg", entry),
            "imageWidth": width,
            "imageHeight": height,
            "imageSize": entry.filesize or 400_000,
            "views": 7,
            "user_id": 77,
            "user": entry.creator or "someone",
        }


def _size(entry: Entry) -> tuple[int, int]:
    return entry.width or 1600, entry.height or 1200


def _wrong(message: str) -> Answer:
    return Answer.text(f"[ERROR 400] {message}", "text/plain", 400)
