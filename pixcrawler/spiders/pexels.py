"""Pexels, photographs under its own licence. Documentation: https://www.pexels.com/api/documentation/"""

import json
from collections.abc import Mapping
from typing import Any

from scrapy.http import Request, Response

from pixcrawler.base_spiders import Key, Page, PagedSearch, Terms, each, retry_after
from pixcrawler.errors import SourceRefused, SourceSaysLater
from pixcrawler.items import ImageItem
from pixcrawler.jobs import Spent

LOCALES = (  # the first of a language is for those who name no country
    *("en-US", "pt-BR", "es-ES", "ca-ES", "de-DE", "it-IT", "fr-FR", "sv-SE", "id-ID", "pl-PL", "ja-JP", "zh-CN"),
    *("zh-TW", "ko-KR", "th-TH", "nl-NL", "hu-HU", "vi-VN", "cs-CZ", "da-DK", "fi-FI", "uk-UA", "el-GR", "ro-RO"),
    *("nb-NO", "sk-SK", "tr-TR", "ru-RU"),
)
COLOURS = ("red", "orange", "yellow", "green", "blue", "pink", "brown", "black", "white")


class Pexels(PagedSearch):
    name = "pexels"
    base_url = "https://api.pexels.com"
    delay = 1.0  # 200 requests an hour
    page_size = 80
    cap = 8000
    key = Key("PEXELS_API_KEY", header="Authorization")
    handle_httpstatus_list = (400, 401, 403, 404, 429)
    terms = Terms(
        url="https://www.pexels.com/api/documentation/#guidelines",
        datasets="none for machine learning without permission, no copying at scale",
        attribution="a prominent link to Pexels, and each photographer's name where possible",
        consent="its terms forbid collecting pictures at scale, and for machine learning, without permission",
    )
    fields = ("page_url", "title", "creator", "creator_url", "license", "license_url", "source_id", "width", "height")
    filters = {
        "size": each("size", large="small", huge="medium"),  # at least 4 and 12 megapixels
        "aspect": each("orientation", "square", wide="landscape", tall="portrait"),
        "colour": each("color", *COLOURS, grey="gray", teal="turquoise", purple="violet"),
        "locale": each("locale", *LOCALES) | {name[:2]: {"locale": name} for name in reversed(LOCALES)},
    }

    def search(self, keyword: str, cursor: Any, narrowed: Mapping[str, str]) -> Request:
        return self.ask("v1/search", {"query": keyword, "page": cursor, "per_page": self.page_size, **narrowed})

    def found(self, response: Response, keyword: str, cursor: Any) -> Page:
        if response.status == 429:
            raise SourceSaysLater("this hour's requests are used up", retry_after(response, 600))
        answer = json.loads(response.body)
        if response.status != 200:
            raise SourceRefused(f"answered {response.status}: {answer.get('message') or answer['error']}")
        total, photos = answer["total_results"], answer["photos"]
        items = self.items(keyword, photos, total if cursor == 1 else 0)
        at_end = Spent.CAPPED if total >= self.cap else Spent.EXHAUSTED
        is_last = not photos or cursor * self.page_size >= total  # one in the middle may be short
        return Page(items, spent=at_end if is_last else None)

    def item(self, keyword: str, record: Any) -> ImageItem:
        return self.picture(
            keyword,
            record["src"]["original"],
            page_url=record["url"],
            title=record.get("alt"),
            creator=record["photographer"],
            creator_url=record["photographer_url"],
            license="Pexels License",
            license_url="https://www.pexels.com/license/",
            source_id=str(record["id"]),
            width=record["width"],
            height=record["height"],
        )
