"""The Rijksmuseum's data services as anybody meets them."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any

from pixcrawler.demo.catalogue import Entry
from pixcrawler.demo.replicas import Answer, Asked, Replica

SEARCH = "/search/collection"
LINKED_DATA = "application/ld+json"
KNOWN = {"title", "description", "creator", "type", "imageAvailable", "pageToken"}
PAGE_SIZE = 100
WITH, WITHOUT = 20_000_000_000, 30_000_000_000  # numbers of objects begin here: with a picture, and without
LABEL = "http://www.w3.org/2004/02/skos/core#prefLabel"


class Rijksmuseum(Replica):
    """Search in one field, and objects. Some are found by their titles, some by their descriptions, some by both."""

    source = "rijksmuseum"
    redesign = ('"isShownBy"', '"shownBy"')

    def __init__(self, total: int = 150) -> None:
        super().__init__(total)
        self._objects: dict[str, Entry] = {}

    def page(self, asked: Asked) -> Answer | None:
        if LINKED_DATA not in asked.headers.get("accept", ""):
            return self.scold(asked, Answer.text("<h1>Rijksmuseum Data Services</h1>"))
        if asked.path == SEARCH:
            return self._search(asked)
        return self._object(asked.path.removeprefix("/"), asked.query.get("_profile", "la"))

    def _search(self, asked: Asked) -> Answer:
        for name in asked.query.keys() - KNOWN:
            return self.scold(asked, Answer.text(f"Unsupported query parameter: {name}", "text/plain", 400))
        ids = self._found(asked.query)
        shown = [one for one in ids if one > self._after(asked.query.get("pageToken"))][:PAGE_SIZE]
        answer = {
            "@context": "https://linked.art/ns/v1/search.json",
            "type": "OrderedCollectionPage",
            "partOf": {"type": "OrderedCollection", "totalItems": len(ids)},
            "orderedItems": [{"id": one, "type": "HumanMadeObject"} for one in shown],
        }
        if shown and shown[-1] != ids[-1]:
            token = b64encode(json.dumps({"token": shown[-1]}).encode()).decode()
            answer["next"] = {"id": f"{self.url}{SEARCH}?pageToken={token.replace('=', '%3D')}"}
        return Answer.json(answer)

    def _found(self, query: dict[str, str]) -> list[str]:
        """The objects in the order of their numbers."""
        by_title = "title" in query
        entries = self.entries(query["title" if by_title else "description"])
        found = [entry for place, entry in enumerate(entries) if (place % 5 > 0 if by_title else place % 5 in (0, 2))]
        self._objects |= {str(WITH + self.serial(entry)): entry for entry in found}
        numbers = [WITH + self.serial(entry) for entry in found] + [
            WITHOUT + place for place in range(len(found) // 40)
        ]
        return [f"https://id.rijksmuseum.nl/{number}" for number in numbers]

    def _after(self, token: str | None) -> str:
        return str(json.loads(b64decode(token))["token"]) if token else ""

    def _object(self, number: str, profile: str) -> Answer | None:
        if number >= str(WITHOUT):
            return Answer.json({"aggregatedCHO": {"title": {"nl": "Zonder afbeelding"}}, "isShownAt": {"id": number}})
        entry = self._objects.get(number)
        if entry is None:
            return None
        if profile != "edm-framed":
            return Answer.json({"id": f"https://id.rijksmuseum.nl/{number}", "type": "HumanMadeObject"})
        return Answer.json(self.records([entry])[0])

    def record(self, entry: Entry) -> dict[str, Any]:
        number = self._number(entry)
        words = {"@language": "en", "@value": entry.title}
        titles = ({"nl": entry.title}, {"nl": ["Zonder titel"], "en": [entry.title]}, [words], words)
        person = {
            "id": f"https://id.rijksmuseum.nl/{310_000_000 + number}",
            LABEL: [{"@language": "nl", "@value": entry.creator}],
        }
        return {
            "aggregatedCHO": {
                "id": f"https://id.rijksmuseum.nl/{WITH + self.serial(entry)}",
                "title": titles[number % len(titles)],
                "identifier": [f"RP-T-{number}"],
                **({"creator": [person]} if entry.creator else {}),
            },
            "isShownAt": {"id": f"https://www.rijksmuseum.nl/nl/collectie/RP-T-{number}"},
            "isShownBy": {"id": self.at(f"/{entry.id}/full/max/0/default.jpg", entry)},
            "edmRights": entry.license.url.replace("https:", "http:"),
        }
