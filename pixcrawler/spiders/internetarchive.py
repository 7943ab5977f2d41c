"""The Internet Archive. Documentation: https://archive.org/help/aboutsearch.htm"""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from scrapy.http import Request, Response

from pixcrawler.base_spiders import Page, Search, Terms
from pixcrawler.errors import SourceRefused
from pixcrawler.items import ImageItem
from pixcrawler.jobs import Spent

WORD = re.compile(r"[\w']+")  # other signs mean something in its queries
FREE = "licenseurl:*publicdomain*"
SAID = {"title": "title", "creator": "creator", "license": "rights", "license_url": "licenseurl"}
MIME = {"JPEG": "jpeg", "PNG": "png", "GIF": "gif", "Animated GIF": "gif", "WebP": "webp"}  # formats that are pictures


class InternetArchive(Search):
    """A search finds items; each has a list of its files, some thousands of them."""

    name = "internetarchive"
    base_url = "https://archive.org"
    delay = 1.0  # no limit is published
    joined_by = " AND "
    handle_httpstatus_list = (400,)
    terms = Terms(
        url="https://archive.org/about/terms",
        datasets="for scholarship and research; each item under its own licence, many under none",
        attribution="credit the creator, and link to the item's page",
    )
    fields = ("page_url", "title", "source_id", "filesize", "mime")
    filters = {"licence": {"public-domain": {"q": FREE}}, "date": {"*": {"q": "date:[{since} TO {until}]"}}}

    def search(self, keyword: str, cursor: Any, narrowed: Mapping[str, str]) -> Request:
        words = f"mediatype:image AND ({' '.join(WORD.findall(keyword))})"
        query = {"q": " AND ".join((words, *narrowed.values())), "fields": "identifier", "count": 100}
        return self.ask("services/search/v1/scrape", {**query, "cursor": cursor})

    def found(self, response: Response, keyword: str, cursor: Any) -> Page:
        answer = json.loads(response.body)
        if "error" in answer:
            raise SourceRefused(f"answered {response.status}: {answer['error']}")
        lookups = self.lookups(keyword, answer["items"], 0 if cursor else answer["total"])
        goes_on = answer.get("cursor")
        return Page([], goes_on, None if goes_on else Spent.EXHAUSTED, lookups)

    def item(self, keyword: str, record: Any) -> ImageItem:
        name = quote(record["identifier"])
        return self.picture(keyword, f"metadata/{name}", page_url=f"{self.base_url}/details/{name}", source_id=name)

    def read_lookup(self, response: Response, keyword: str) -> list[ImageItem]:
        answer, known = json.loads(response.body), response.meta["known"]
        if answer == {}:  # the item was taken away
            return []
        said = {name: in_words(answer["metadata"].get(theirs)) for name, theirs in SAID.items()}
        originals = [file for file in answer["files"] if file["source"] == "original" and file["format"] in MIME]
        return [
            self.picture(
                keyword,
                f"{self.base_url}/download/{known['source_id']}/{quote(file['name'])}",
                page_url=known["page_url"],
                **said,
                source_id=f"{known['source_id']}/{file['name']}",
                mime=f"image/{MIME[file['format']]}",
                filesize=file.get("size"),
                **{side: file.get(side) for side in ("width", "height")},
            )
            for file in originals
            if file.get("private") != "true"
        ]


def in_words(value: Any) -> str | None:
    """The archive writes one thing as a text, several as a list."""
    return "; ".join(value) if isinstance(value, list) else value
