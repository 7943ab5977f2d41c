"""Pixabay, pictures under its own licence. Documentation: https://pixabay.com/api/docs/"""

import json
from collections.abc import Mapping
from typing import Any

from scrapy.http import Request, Response

from pixcrawler.base_spiders import Key, Page, PagedSearch, Terms, each
from pixcrawler.errors import SourceRefused
from pixcrawler.items import ImageItem, url_key
from pixcrawler.jobs import Spent

FILES = {"imageURL": 10**6, "fullHDURL": 1920, "largeImageURL": 1280}  # longest sides; most keys get but the last
LANGUAGES = (
    *("cs", "da", "de", "en", "es", "fr", "id", "it", "hu", "nl", "no", "pl", "pt", "ro", "sk", "fi", "sv", "tr", "vi"),
    *("th", "bg", "ru", "el", "ja", "ko", "zh"),
)
HUES = ("transparent", "red", "orange", "yellow", "green", "blue", "pink", "brown", "black", "white")


class Pixabay(PagedSearch):
    name = "pixabay"
    base_url = "https://pixabay.com"
    delay = 0.6  # 100 requests a minute
    page_size = 200
    cap = 500
    key = Key("PIXABAY_API_KEY", parameter="key")
    handle_httpstatus_list = (400,)
    terms = Terms(
        url="https://pixabay.com/service/terms/",
        datasets="no systematic mass downloads",
        attribution="tell where pictures are from wherever results are shown",
        consent="its terms forbid mass downloads, and its robots.txt to fetch pictures from pixabay.com/get/",
    )
    fields = ("page_url", "title", "creator", "creator_url", "license", "license_url", "source_id", "width", "height")
    filters = {
        "aspect": each("orientation", wide="horizontal", tall="vertical"),
        "colour": each("colors", *HUES, grey="grayscale", teal="turquoise", purple="lilac"),
        "type": each("image_type", "photo", "illustration", clipart="vector"),
        "safe": each("safesearch", off="false", moderate="true", strict="true"),
        "locale": each("lang", *LANGUAGES),
    }
    split_by = {"orientation": ("horizontal", "vertical"), "colors": (*HUES, "gray", "grayscale", "turquoise", "lilac")}

    def search(self, keyword: str, cursor: Any, narrowed: Mapping[str, str]) -> Request:
        return self.ask("api/", {"q": keyword, "page": cursor, "per_page": self.page_size, **narrowed})

    def found(self, response: Response, keyword: str, cursor: Any) -> Page:
        if response.status == 400 and b'"page" is out of valid range' in response.body:
            return Page([], spent=Spent.EXHAUSTED)
        if response.status == 400:
            raise SourceRefused(f"answered {response.body[:200].decode('utf-8', 'replace')}")
        answer = json.loads(response.body)
        shown = answer["totalHits"]
        at_end = Spent.CAPPED if answer["total"] > shown else Spent.EXHAUSTED
        items = self.items(keyword, answer["hits"], shown if cursor == 1 else 0)
        return Page(items, spent=at_end if cursor * self.page_size >= shown else None)

    def item(self, keyword: str, record: Any) -> ImageItem:
        files = [name for name in FILES if record.get(name)]
        url, width, height = record[files[0]], record["imageWidth"], record["imageHeight"]
        scale = min(1, FILES[files[0]] / max(width, height, 1))  # the sides are those of the original
        return self.picture(
            keyword,
            url,
            page_url=record["pageURL"],
            title=record["tags"],
            creator=record["user"],
            creator_url=f"https://pixabay.com/users/{record['user']}-{record['user_id']}/",
            license="Pixabay Content License",
            license_url="https://pixabay.com/service/license-summary/",
            source_id=str(record["id"]),
            width=round(width * scale),
            height=round(height * scale),
            key=url_key(f"https://pixabay.com/photos/{record['id']}/"),  # addresses of files are signed, and expire
        )
