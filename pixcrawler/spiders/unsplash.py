"""Unsplash, photographs under its own licence. Documentation: https://unsplash.com/documentation"""

import json
from collections.abc import Mapping
from typing import Any

from scrapy.http import Request, Response

from pixcrawler.base_spiders import Key, Page, PagedSearch, Terms, each, retry_after
from pixcrawler.errors import SourceRefused, SourceSaysLater
from pixcrawler.items import ImageItem, url_key
from pixcrawler.jobs import Spent

COLOURS = ("red", "orange", "yellow", "green", "teal", "blue", "purple", "black", "white")


class Unsplash(PagedSearch):
    """Its terms want each download told: the answer to that says where the picture is, and so it is asked for each."""

    name = "unsplash"
    base_url = "https://api.unsplash.com"
    delay = 1.0  # 50 requests an hour with a new key, 5,000 with an approved one
    page_size = 30
    cap = 10_000
    key = Key("UNSPLASH_ACCESS_KEY", header="Authorization", prefix="Client-ID ")
    handle_httpstatus_list = (400, 401, 403, 404, 410)
    terms = Terms(
        url="https://unsplash.com/api-terms",
        datasets="none by the API without permission, and no copies: pictures are to be shown from their address",
        attribution='"Photo by … on Unsplash", with links to both; each download is told by its download_location',
        consent="its terms forbid automated use and datasets for training without permission",
    )
    fields = ("page_url", "title", "creator", "creator_url", "license", "license_url", "source_id", "width", "height")
    filters = {
        "aspect": each("orientation", square="squarish", wide="landscape", tall="portrait"),
        "colour": each("color", *COLOURS, grey="black_and_white"),
        "safe": each("content_filter", off="low", moderate="high", strict="high"),
        "locale": {"*": {"lang": "{language}"}},
    }

    def search(self, keyword: str, cursor: Any, narrowed: Mapping[str, str]) -> Request:
        query = {"query": keyword, "page": cursor, "per_page": self.page_size, **narrowed}
        return self.ask("search/photos", query, accept_version="v1")

    def found(self, response: Response, keyword: str, cursor: Any) -> Page:
        answer = understood(response)
        items = self.items(keyword, answer["results"], answer["total"] if cursor == 1 else 0)
        at_end = Spent.CAPPED if answer["total"] >= self.cap else Spent.EXHAUSTED
        lookups = [self.ask(item.url, accept_version="v1").replace(meta={"picture": item.facts()}) for item in items]
        return Page([], spent=at_end if cursor >= answer["total_pages"] else None, lookups=lookups)

    def read_lookup(self, response: Response, keyword: str) -> list[ImageItem]:
        return [ImageItem.from_facts({**response.meta["picture"], "url": understood(response)["url"]})]

    def item(self, keyword: str, record: Any) -> ImageItem | None:
        if record["sponsorship"] or record.get("premium") or record.get("plus"):
            return None
        links, person, number = record["links"], record["user"], record["id"]
        return self.picture(
            keyword,
            links["download_location"],
            page_url=links["html"],
            title=record["description"] or record["alt_description"],
            creator=person["name"],
            creator_url=person["links"]["html"],
            license="Unsplash License",
            license_url="https://unsplash.com/license",
            attribution=f"Photo by {person['name']} on Unsplash",
            source_id=number,
            **{side: record[side] for side in ("width", "height")},
            key=url_key(f"https://unsplash.com/photos/{number}"),  # addresses tell who asked
        )


def understood(response: Response) -> Any:
    if response.status == 403 and b"Rate Limit" in response.body:
        raise SourceSaysLater("this hour's requests are used up", retry_after(response, 600))  # nobody says since when
    answer = json.loads(response.body)
    if response.status != 200:
        raise SourceRefused(f"answered {response.status}: {'; '.join(answer['errors'])}")
    return answer
