"""Wikimedia Commons as a client meets it that says who it is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pixcrawler.demo.catalogue import Entry, License
from pixcrawler.demo.replicas import Answer, Asked, Replica

REACH = 10_000
MOST = 500  # results in one answer
TOLD_AT_ONCE = 30  # files in every other answer; of the others it tells in its second part
IDENTIFIED = re.compile(r"\S+/\S+ \(.+\)")  # a User-Agent that says whom to write to
CONDITION = re.compile(r"-?\w+:\S+")
CAME_FROM = "utm_source=commons.wikimedia.org&utm_campaign=imageinfo&utm_content=original"


class Commons(Replica):
    """Search alone, without filters."""

    source = "commons"
    redesign = ('"imageinfo"', '"fileinfo"')

    def page(self, asked: Asked) -> Answer | None:
        if asked.path != "/w/api.php":
            return None
        if not IDENTIFIED.match(asked.headers.get("user-agent", "")):
            return self.scold(asked, Answer.text("Please set a user-agent that says who you are.", status=403))
        offset, limit = int(asked.query.get("gsroffset", 0)), int(asked.query.get("gsrlimit", 10))
        if limit > MOST:
            return self.scold(asked, failed("toomany", f'"gsrlimit" may not be over {MOST}.'))
        if offset >= REACH:
            told = f"Up to {REACH} search results are supported, but results starting at {offset} were requested."
            return self.scold(asked, failed("cirrussearch-offset-too-large", told))
        keyword = " ".join(CONDITION.sub("", asked.query["gsrsearch"]).split())
        return Answer.json(self._found(self.entries(keyword), offset, limit, asked.query))

    def _found(self, entries: Sequence[Entry], offset: int, limit: int, query: dict[str, str]) -> dict[str, Any]:
        """One answer, or a part of it; in the order of the page ids, as they come."""
        modern = query.get("formatversion") == "2"
        answer: dict[str, Any] = {"batchcomplete": True if modern else ""}
        batch = entries[offset : offset + limit]
        if not batch:
            return answer
        pages = [
            {
                "pageid": self._page_id(entry),
                "ns": 6,
                "title": f"File:{entry.title}.jpg",
                "index": number,
                "imageinfo": file,
            }
            for number, (entry, file) in enumerate(zip(batch, self.records(batch), strict=True), offset + 1)
        ]
        in_parts = offset // limit % 2 == 1 and len(pages) > TOLD_AT_ONCE
        silent = [] if not in_parts else pages[:TOLD_AT_ONCE] if "iicontinue" in query else pages[TOLD_AT_ONCE:]
        for page in silent:
            del page["imageinfo"]
        if silent and "iicontinue" not in query:
            del answer["batchcomplete"]
            place = {"iicontinue": f"{silent[0]['title']}|20240229101112", "continue": "||imageinfo"}
            answer["continue"] = place | {"gsroffset": offset}
        elif offset + limit < len(entries):
            answer["continue"] = {"gsroffset": offset + limit, "continue": "gsroffset||"}
        answer["query"] = {"pages": pages[::-1] if modern else {str(page["pageid"]): page for page in pages}}
        return answer

    def limited(self, asked: Asked) -> Answer:
        return failed("maxlag", "Waiting for 10.0.0.1: 5.2 seconds lagged.", Retry_After="1")

    def _page_id(self, entry: Entry) -> int:
        return 1_000_000_000 - self.serial(entry)  # older files are no better

    def spoiled(self, record: Any) -> Any:
        return [{"filehidden": True}]

    def record(self, entry: Entry) -> list[dict[str, Any]]:
        name = f"File:{entry.id}.jpg"
        return [
            {
                "size": entry.filesize or 123_456,
                "width": entry.width or 1024,
                "height": entry.height or 768,
                "url": f"{self.address(entry)}?{CAME_FROM}",
                "descriptionurl": f"https://commons.wikimedia.org/wiki/{name}",
                "descriptionshorturl": f"https://commons.wikimedia.org/w/index.php?curid={self._page_id(entry)}",
                "mime": "image/jpeg",
                "extmetadata": {
                    what: {"value": value, "source": "commons-desc-page"} for what, value in facts(entry).items()
                },
            }
        ]


def facts(entry: Entry) -> dict[str, str]:
    """What the description page says."""
    person = f'<a href="//commons.wikimedia.org/wiki/User:{entry.creator}">{entry.creator}</a>' if entry.creator else ""
    licence = {"ObjectName": entry.title, "Artist": person, "LicenseShortName": short_name(entry.license)}
    return licence if entry.license.slug == "pdm" else {**licence, "LicenseUrl": entry.license.url.rstrip("/")}


def short_name(licence: License) -> str:
    """As the site names it."""
    named = {"cc0": "CC0", "pdm": "Public domain"}
    return named.get(licence.slug, f"CC {licence.slug.upper()} {licence.version}")


def failed(code: str, info: str, **headers: str) -> Answer:
    """Its errors come with status 200."""
    return Answer.json({"error": {"code": code, "info": info}}, 200, MediaWiki_API_Error=code, **headers)
