"""The Metropolitan Museum of Art as anybody meets it."""

from __future__ import annotations

from typing import Any

from pixcrawler.demo.catalogue import Entry
from pixcrawler.demo.replicas import Answer, Asked, Replica

SEARCH, OBJECTS = "/public/collection/v1.1/search", "/public/collection/v1/objects/"
REACH = 10_000  # objects
MOST = 500  # of them in one answer
EMPTY, GONE = 1, 2  # the last digits of objects without a picture, and of withdrawn ones


class Met(Replica):
    """Search and objects. One in ten objects has a second picture, some have none, though asked for with pictures."""

    source = "met"
    redesign = ('"primaryImage"', '"mainImage"')

    def __init__(self, total: int = 150) -> None:
        super().__init__(total)
        self._objects: dict[int, list[Entry]] = {}

    def page(self, asked: Asked) -> Answer | None:
        if asked.path == SEARCH:
            return self._search(asked)
        if asked.path.startswith(OBJECTS):
            return self._object(int(asked.path.removeprefix(OBJECTS)))
        return None

    def _search(self, asked: Asked) -> Answer:
        offset, limit = int(asked.query.get("offset", 0)), int(asked.query.get("limit", MOST))
        if offset >= REACH or limit > MOST:
            return self.scold(asked, Answer.json({"message": "offset must be < 10000, limit <= 500"}, 400))
        numbers = self._numbers(asked.query["q"])
        return Answer.json({"total": len(numbers), "objectIDs": numbers[offset : offset + limit] or None})

    def _numbers(self, keyword: str) -> list[int]:
        numbers: list[int] = []
        for place, entry in enumerate(self.entries(keyword)):
            number = 10 * self.serial(entry)
            if place % 10 == 5:
                self._objects[numbers[-1]].append(entry)
                continue
            if place % 20 == 7:
                numbers.append(number + (GONE if place % 40 == 7 else EMPTY))
            self._objects[number] = [entry]
            numbers.append(number)
        return numbers

    def _object(self, number: int) -> Answer:
        if number % 10 == GONE:
            return Answer.json({"message": "ObjectID not found"}, 404)
        first, *others = self._objects[number - number % 10]
        if number % 10 == EMPTY:
            return Answer.json({**self.record(first), "primaryImage": "", "objectID": number})
        record = self.records([first])[0]
        return Answer.json(record and {**record, "additionalImages": [self.address(other) for other in others]})

    def limited(self, asked: Asked) -> Answer:
        return Answer.text(
            "<html><title>Error</title>Request unsuccessful. Incapsula incident ID: 0-0</html>", status=403
        )

    def record(self, entry: Entry) -> dict[str, Any]:
        number = 10 * self.serial(entry)
        return {
            "objectID": number,
            "isPublicDomain": True,
            "primaryImage": self.address(entry),
            "primaryImageSmall": f"{self.address(entry)}?small",
            "additionalImages": [],
            "title": entry.title,
            "artistDisplayName": entry.creator or "",
            "objectURL": f"https://www.metmuseum.org/art/collection/search/{number}",
            "objectDate": "ca. 1890",
            "creditLine": "Gift of the painter, 1901",
            "rightsAndReproduction": "",
        }
