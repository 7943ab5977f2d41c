"""Flickr, the photographs of its members. Documentation: https://www.flickr.com/services/api/flickr.photos.search.html"""

import json
from collections.abc import Mapping
from typing import Any

from scrapy.http import Request, Response

from pixcrawler.base_spiders import DatedSearch, Key, Page, Terms, each
from pixcrawler.errors import SourceRefused, SourceSaysLater
from pixcrawler.items import ImageItem, url_key
from pixcrawler.jobs import Spent

REACH = 4000  # pictures of one question; the pages after these bring the same again
SIZES = ("o", "6k", "5k", "4k", "3k", "k", "h", "l", "c", "z", "m", "n", "s")  # the largest first
EXTRAS = ",".join(("description", "license", "owner_name", "path_alias", *(f"url_{size}" for size in SIZES)))


class Flickr(DatedSearch):
    name = "flickr"
    base_url = "https://api.flickr.com"
    delay = 1.0  # 3,600 questions an hour
    key = Key("FLICKR_API_KEY", parameter="api_key")
    beginning = 1_075_593_600  # 1 February 2004
    between = ("min_upload_date", "max_upload_date")
    terms = Terms(
        url="https://www.flickr.com/help/terms/api",
        datasets="each picture under its own licence; without a commercial key for no commercial purpose",
        attribution="credit the owner and link to the picture's page on Flickr; drop what its owner has removed",
    )
    fields = ("page_url", "title", "creator", "creator_url", "license", "source_id", "width", "height")
    filters = {
        "type": each("content_type", photo="1", illustration="3"),
        "licence": {  # by number, see `rights.FLICKR`
            **each("license", known="1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16", commercial="4,5,6,7,8,9,10,11,12,13"),
            **each("license", **{"derivatives": "1,2,4,5,7,8,9,10,11,12,14,15", "public-domain": "8,9,10"}),
        },
        "safe": each("safe_search", moderate="1", strict="1"),  # a key alone is shown no other
        "date": {"*": {"min_upload_date": "{since}", "max_upload_date": "{until}"}},
    }

    def search(self, keyword: str, cursor: Any, narrowed: Mapping[str, str]) -> Request:
        query = {"method": "flickr.photos.search", "format": "json", "nojsoncallback": 1, "media": "photos"}
        wanted = {"text": keyword, "sort": "relevance", "per_page": 500, "page": cursor, "extras": EXTRAS}
        return self.ask("services/rest/", {**query, **wanted, **narrowed})

    def found(self, response: Response, keyword: str, cursor: Any) -> Page:
        answer = json.loads(response.body)
        if answer["stat"] == "fail" and answer["code"] == 20 and cursor > 1:  # too far
            return Page([], spent=Spent.CAPPED)
        if answer["stat"] == "fail":
            message = f"answered {answer['code']}: {answer['message']}"  # 10 and 105: unavailable for the moment
            raise SourceSaysLater(message, 10) if answer["code"] in (10, 105) else SourceRefused(message)
        photos = answer["photos"]
        total = int(photos["total"])
        items = self.items(keyword, photos["photo"], total if cursor == 1 else 0)
        if total > REACH:
            return Page(items, spent=Spent.CAPPED)
        return Page(items, spent=Spent.EXHAUSTED if cursor >= photos["pages"] else None)

    def item(self, keyword: str, record: Any) -> ImageItem:
        sizes = [size for size in SIZES if record.get(f"url_{size}")]
        owner, number, size = record["owner"], record["id"], sizes[0]
        home = f"https://www.flickr.com/photos/{record.get('pathalias') or owner}"
        return self.picture(
            keyword,
            record[f"url_{size}"],
            page_url=f"{home}/{number}",
            creator=record["ownername"],
            creator_url=home,
            title=record["title"] or record["description"]["_content"],
            license=str(record["license"]),
            source_id=number,
            width=record.get(f"width_{size}"),
            height=record.get(f"height_{size}"),
            key=url_key(f"https://www.flickr.com/photos/{owner}/{number}"),  # whatever its size and its owner's alias
        )
