"""Wikimedia Commons, the files of Wikipedia. Documentation: https://commons.wikimedia.org/w/api.php"""

import json
from collections.abc import Mapping
from operator import itemgetter
from typing import Any
from urllib.parse import urljoin

from parsel import Selector
from scrapy.http import Request, Response

from pixcrawler.base_spiders import Page, Search, Terms, retry_after
from pixcrawler.errors import SourceRefused, SourceSaysLater
from pixcrawler.items import ImageItem
from pixcrawler.jobs import Spent

QUESTION = (
    "w/api.php?action=query&format=json&formatversion=2&maxlag=5&generator=search&gsrnamespace=6&gsrlimit=50"
    "&prop=imageinfo&iiprop=url|size|mime|extmetadata&iiextmetadatalanguage=en"
    "&iiextmetadatafilter=ObjectName|Artist|Attribution|LicenseShortName|LicenseUrl"
)
RIGHTS = {"creator": "Artist", "attribution": "Attribution", "license": "LicenseShortName", "license_url": "LicenseUrl"}
SIZES = {"small": "<554", "medium": "554,1385", "large": ">1386", "huge": ">2829"}  # pixels, of a square as large
BUSY = ("maxlag", "ratelimited", "readonly")  # codes of errors that pass


class Commons(Search):
    """`cursor` is what the answer before says to continue with, word for word."""

    name = "commons"
    base_url = "https://commons.wikimedia.org"
    delay = 1.0  # one request at a time, below five a second and 200 a minute
    cap = 10_000
    terms = Terms(
        url="https://foundation.wikimedia.org/wiki/Policy:Terms_of_Use",
        datasets="allowed; each file under its own licence, with a User-Agent that says whom to write to",
        attribution="credit the author, name the licence and link to it and to the file's page",
    )
    fields = ("page_url", "title", "creator", "license", "source_id", "width", "height", "mime", "filesize")
    filters = {"size": {size: {"gsrsearch": f"fileres:{pixels}"} for size, pixels in SIZES.items()}}

    def search(self, keyword: str, cursor: Any, narrowed: Mapping[str, str]) -> Request:
        words = " ".join((keyword, "filetype:bitmap", *narrowed.values()))
        return self.ask(QUESTION, {"gsrsearch": words, **(cursor or {})})

    def found(self, response: Response, keyword: str, cursor: Any) -> Page:
        answer = json.loads(response.body)
        if error := answer.get("error"):
            if error["code"] == "cirrussearch-offset-too-large":
                return Page([], spent=Spent.CAPPED)
            message = f"answered {error['code']}: {error['info']}"
            raise SourceSaysLater(message, retry_after(response)) if error["code"] in BUSY else SourceRefused(message)
        if answer.keys() <= {"batchcomplete", "warnings"}:
            return Page([], spent=Spent.EXHAUSTED)
        # A long answer comes in parts: each names all files, and has the facts of some.
        told = sorted((page for page in answer["query"]["pages"] if "imageinfo" in page), key=itemgetter("index"))
        if not told:
            raise SourceRefused("tells nothing of the files it has found")
        goes_on = answer.get("continue", {})
        at_end = Spent.CAPPED if goes_on.get("gsroffset", 0) >= self.cap else None if goes_on else Spent.EXHAUSTED
        return Page(self.items(keyword, told), goes_on, at_end)

    def item(self, keyword: str, record: Any) -> ImageItem:
        file = record["imageinfo"][0]
        said = {name: fact["value"] for name, fact in (file["extmetadata"] or {}).items()}
        person = Selector(said.get("Artist") or "<p>").css("a::attr(href)").get()
        return self.picture(
            keyword,
            file["url"],
            page_url=file["descriptionurl"],
            title=said.get("ObjectName") or record["title"].removeprefix("File:"),
            creator_url=person and urljoin(self.base_url, person),
            source_id=str(record["pageid"]),
            filesize=file["size"],
            **{name: file[name] for name in ("width", "height", "mime")},
            **{name: said.get(theirs) for name, theirs in RIGHTS.items()},
        )
