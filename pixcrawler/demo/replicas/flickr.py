"""Flickr's search, as a client with a key and without a member meets it."""

from __future__ import annotations

from math import ceil
from typing import Any

from pixcrawler.demo.catalogue import Entry
from pixcrawler.demo.replicas import Answer, Asked, Replica

REACH = 4000  # results; what is asked behind them is answered with the first ones again
MOST_ON_A_PAGE = 500
UPLOADED = 1_100_000_000, 40_000  # the first, as Unix time, and the seconds between two
LICENCES = {
    "by-nc-sa 2.0": "1",
    "by-nc 2.0": "2",
    "by-nc-nd 2.0": "3",
    "by 2.0": "4",
    "by-sa 2.0": "5",
    "by-nd 2.0": "6",
    "cc0 1.0": "9",
    "pdm 1.0": "10",
    "by 4.0": "11",
    "by-sa 4.0": "12",
}


class Flickr(Replica):
    """Errors come with status 200. Some owners do not show their originals."""

    source = "flickr"
    redesign = ('"url_', '"src_')

    def page(self, asked: Asked) -> Answer | None:
        if asked.path != "/services/rest/":
            return None
        query = asked.query
        if query.get("method") != "flickr.photos.search":
            return failure(112, f'Method "{query.get("method")}" not found')
        if query.get("api_key") in (None, "", "another"):
            reason = "not found" if query.get("api_key") else "has invalid format"
            return failure(100, f"Invalid API Key (Key {reason})")
        if not query.get("text"):
            return failure(3, "Parameterless searches have been disabled. Please use flickr.photos.getRecent instead.")
        return self._found(asked)

    def _found(self, asked: Asked) -> Answer:
        entries = [entry for entry in self.entries(asked.query["text"]) if self._is_within(entry, asked.query)]
        size = min(int(asked.query.get("per_page", 100)), MOST_ON_A_PAGE)
        number = int(asked.query.get("page", 1))
        begin = (number - 1) * size
        photos = {
            "page": number,
            "pages": ceil(len(entries) / size),
            "perpage": size,
            "total": str(len(entries)),
            "photo": self.records(entries[begin % REACH : begin % REACH + size]),
        }
        answer = Answer.json({"photos": photos, "stat": "ok"})
        return self.scold(asked, answer) if begin >= REACH else answer

    def limited(self, asked: Asked) -> Answer:
        return failure(105, "Service currently unavailable")

    def _is_within(self, entry: Entry, asked: dict[str, str]) -> bool:
        first, last = int(asked.get("min_upload_date", 0)), int(asked.get("max_upload_date", 2**40))
        licences = asked.get("license")
        return first <= self._uploaded(entry) <= last and (licences is None or _licence(entry) in licences.split(","))

    def _uploaded(self, entry: Entry) -> int:
        first, step = UPLOADED
        return first + step * self._number(entry)

    def record(self, entry: Entry) -> dict[str, Any]:
        person = f"9900{len(entry.creator or ''):04}@N00"
        told = {
            "id": entry.id,
            "owner": person,
            "secret": "0123456789",
            "server": "65535",
            "title": entry.title if self._number(entry) % 10 else "",
            "ispublic": 1,
            "license": _licence(entry),
            "description": {"_content": f"Of <b>{entry.keyword}</b>.\n\n{entry.title}"},
            "dateupload": str(self._uploaded(entry)),
            "ownername": entry.creator or "",
            "pathalias": entry.creator.split()[0].lower() if entry.creator else None,
        }
        shown = ["m", "l", "o"] if self._number(entry) % 3 else ["m", "l"]
        return told | {name: value for size in shown for name, value in self._rendition(entry, size).items()}

    def _rendition(self, entry: Entry, size: str) -> dict[str, Any]:
        url = self.address(entry) if size == "o" else self.at(f"/renditions/{entry.id}_{size}.jpg", entry)
        return {f"url_{size}": url, f"width_{size}": entry.width, f"height_{size}": str(entry.height or "")}


def _licence(entry: Entry) -> str:
    return LICENCES[f"{entry.license.slug} {entry.license.version}"]


def failure(code: int, message: str) -> Answer:
    """How it says that something went wrong."""
    return Answer.json({"stat": "fail", "code": code, "message": message})
