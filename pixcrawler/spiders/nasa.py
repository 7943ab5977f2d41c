"""NASA's Image and Video Library. Documentation: https://images.nasa.gov/docs/images.nasa.gov_api_docs.pdf"""

import json
import re
from collections.abc import Mapping
from typing import Any

from scrapy.http import Request, Response

from pixcrawler.base_spiders import Page, PagedSearch, Terms
from pixcrawler.errors import SourceRefused
from pixcrawler.items import ImageItem
from pixcrawler.jobs import Spent

SIZES = ("~orig.", "~large.", ".")  # in the names of files, the best first
PICTURES = (".jpg", ".jpeg", ".png", ".gif", ".webp")  # not .tif, which few programs read
TEXTS = ("title", "description", "photographer", "secondary_creator")
OF_OTHERS = re.compile(r"©|\(c\)|copyright|courtesy|permission|\besa\b", re.IGNORECASE)


class Nasa(PagedSearch):
    """A search finds pictures; each has a list of its files."""

    name = "nasa"
    base_url = "https://images-api.nasa.gov"
    delay = 1.0  # no limit is published
    page_size = 100
    cap = 10_000
    handle_httpstatus_list = (400,)
    terms = Terms(
        url="https://www.nasa.gov/nasa-brand-center/images-and-media/",
        datasets="allowed; most is in the public domain, what belongs to others says so in its description",
        attribution="name NASA as the source; people in the pictures keep their rights",
    )
    fields = ("page_url", "title", "source_id")
    filters = {"date": {"*": {"year_start": "{since.year:04}", "year_end": "{until.year:04}"}}}

    def search(self, keyword: str, cursor: Any, narrowed: Mapping[str, str]) -> Request:
        query = {"q": keyword, "media_type": "image", "page": cursor, "page_size": self.page_size}
        return self.ask("search", {**query, **narrowed})

    def found(self, response: Response, keyword: str, cursor: Any) -> Page:
        answer = json.loads(response.body)
        if response.status == 400 and answer["reason"].startswith("Maximum number of search results"):
            return Page([], spent=Spent.CAPPED)
        if response.status == 400:
            raise SourceRefused(f"answers 400: {answer['reason']}")
        left = answer["collection"]["metadata"]["total_hits"] - (cursor - 1) * self.page_size
        lookups = self.lookups(keyword, answer["collection"]["items"], max(left, 0))
        return Page([], spent=Spent.EXHAUSTED if left <= self.page_size else None, lookups=lookups)

    def item(self, keyword: str, record: Any) -> ImageItem | None:
        facts = record["data"][0]
        if not self.is_of_date(facts["date_created"]):  # it is asked for whole years
            return None
        told = " ".join(filter(None, (facts.get(name) for name in TEXTS)))
        return self.picture(
            keyword,
            address(record["href"]),
            page_url=f"https://images.nasa.gov/details/{facts['nasa_id']}".replace(" ", "%20"),
            title=facts["title"],
            creator=facts.get("photographer") or facts.get("secondary_creator"),
            license=None if OF_OTHERS.search(told) else "US government work",
            source_id=facts["nasa_id"],
        )

    def read_lookup(self, response: Response, keyword: str) -> list[ImageItem]:
        pictures = [file for file in json.loads(response.body) if file.lower().endswith(PICTURES)]
        if not pictures:
            raise SourceRefused("lists no picture")
        best = next(picture for size in SIZES for picture in pictures if size in picture)
        return [self.picture(keyword, address(best), **response.meta["known"])]


def address(href: str) -> str:
    """The library writes addresses with spaces, and some without encryption."""
    return href.replace("http://images-assets.nasa.gov", "https://images-assets.nasa.gov").replace(" ", "%20")
