"""Smithsonian Open Access, what its museums have made everybody's. Documentation: https://edan.si.edu/openaccess/apidocs/"""

import json
from collections.abc import Mapping
from typing import Any

from scrapy.http import Request, Response

from pixcrawler.base_spiders import Key, Page, Search, Terms, retry_after, words_of
from pixcrawler.errors import SourceRefused, SourceSaysLater
from pixcrawler.items import ImageItem
from pixcrawler.jobs import Spent

ROWS = 100  # of 1,000: a hundred make a megabyte
MAKERS = ("Artist", "Photographer", "Maker", "Creator", "Designer", "Author", "Print Maker")


class Smithsonian(Search):
    """`cursor` is the number of rows that were shown. A row is a thing with all its pictures."""

    name = "smithsonian"
    base_url = "https://api.si.edu"
    delay = 1.0  # 1,000 requests an hour; with DEMO_KEY 30, and 50 a day
    key = Key("API_KEY_DATA_GOV", header="X-Api-Key")
    first_cursor = 0
    handle_httpstatus_list = (403, 429)
    terms = Terms(
        url="https://www.si.edu/termsofuse",
        datasets="allowed: pictures marked CC0 are free for any purpose, and no others are taken",
        attribution="none is owed; the Smithsonian likes to be named with a link to the thing",
    )
    fields = ("page_url", "title", "license", "source_id")

    def search(self, keyword: str, cursor: Any, narrowed: Mapping[str, str]) -> Request:
        query = f"({words_of(keyword)}) AND online_media_type:Images AND media_usage:CC0"
        return self.ask("openaccess/api/v1.0/search", {"q": query, "rows": ROWS, "start": cursor, **narrowed})

    def found(self, response: Response, keyword: str, cursor: Any) -> Page:
        answer = json.loads(response.body)
        if response.status == 429:
            raise SourceSaysLater("this hour's requests are used up", retry_after(response, 600))
        if response.status != 200:
            raise SourceRefused(f"answered {response.status}: {answer['error']['message']}")
        rows, total = answer["response"]["rows"], answer["response"]["rowCount"]
        items = self.items(keyword, [pair for row in rows for pair in media(row)], 0 if cursor else total)
        seen = cursor + len(rows)
        return Page(items, seen, Spent.EXHAUSTED if not rows or seen >= total else None)

    def item(self, keyword: str, record: Any) -> ImageItem | None:
        row, medium = record
        about = row["content"]["descriptiveNonRepeating"]
        if medium["type"] != "Images" or medium["usage"]["access"] != "CC0":
            return None
        files = [file for file in medium.get("resources", []) if file["label"] == "High-resolution JPEG"]
        best = files[0] if files else {"url": medium["content"]}
        names = row["content"].get("freetext", {}).get("name", [])
        makers = [name["content"] for name in names if name["label"] in MAKERS]
        return self.picture(
            keyword,
            best["url"],
            page_url=about.get("record_link") or about["guid"],
            title=row["title"],
            creator=makers[0] if makers else None,
            license="CC0",
            source_id=row["url"],
            width=best.get("width"),
            height=best.get("height"),
        )


def media(row: Any) -> list[tuple[Any, Any]]:
    """A row with each of its files; with none where it has another shape, so that `item` fails for it alone."""
    try:
        return [(row, medium) for medium in row["content"]["descriptiveNonRepeating"]["online_media"]["media"]]
    except (LookupError, TypeError):
        return [(row, None)]
