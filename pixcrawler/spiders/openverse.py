"""Openverse, the catalogue of openly licensed images. Documentation: https://api.openverse.org/v1/"""

import json
from collections.abc import Mapping
from typing import Any

from scrapy.http import Request, Response

from pixcrawler.base_spiders import Page, PagedSearch, Terms, each
from pixcrawler.errors import SourceRefused
from pixcrawler.items import ImageItem, url_key
from pixcrawler.jobs import Spent

SAME = ("title", "creator", "creator_url", "license_url", "attribution", "width", "height", "filesize")
MIME = {"jpg": "jpeg", "tif": "tiff", "svg": "svg+xml"}


class Openverse(PagedSearch):
    name = "openverse"
    base_url = "https://api.openverse.org"
    delay = 3.0  # 20 requests a minute without a key
    page_size = 20  # the most without a key
    cap = 240
    handle_httpstatus_list = (400, 401)  # their bodies say why
    terms = Terms(
        url="https://docs.openverse.org/terms_of_service.html",
        datasets="allowed within the limits of the API; each picture under its own licence",
        attribution="credit each picture by its attribution line, and Openverse as the way to it",
    )
    fields = ("page_url", "title", "creator", "license", "license_url", "attribution", "source_id")
    filters = {
        "size": each("size", "small", "medium", "large"),
        "aspect": each("aspect_ratio", "square", "wide", "tall"),
        "type": {"photo": {"category": "photograph"}, "illustration": {"category": "illustration"}},
        "licence": {
            "commercial": {"license_type": "commercial"},
            "derivatives": {"license_type": "modification"},
            "public-domain": {"license": "cc0,pdm"},
        },
        "safe": {"off": {"mature": "true"}, "moderate": {"mature": "false"}, "strict": {"mature": "false"}},
    }
    split_by = {
        "license": ("by", "by-sa", "by-nd", "by-nc", "by-nc-sa", "by-nc-nd", "cc0", "pdm", "sampling+", "nc-sampling+"),
        "aspect_ratio": ("wide", "tall", "square"),
    }

    def search(self, keyword: str, cursor: Any, narrowed: Mapping[str, str]) -> Request:
        return self.ask("v1/images/", {"q": keyword, "page": cursor, "page_size": self.page_size, **narrowed})

    def found(self, response: Response, keyword: str, cursor: Any) -> Page:
        answer = json.loads(response.body)
        if response.status == 401 and "pagination depth" in answer["detail"]:
            return Page([], spent=Spent.CAPPED)
        if response.status != 200:
            raise SourceRefused(f"answered {response.status}: {sentence(answer['detail'])}")
        items = self.items(keyword, answer["results"])
        at_end = Spent.CAPPED if answer["result_count"] >= self.cap else Spent.EXHAUSTED  # a larger count is not told
        return Page(items, spent=at_end if not items or cursor >= answer["page_count"] else None)

    def item(self, keyword: str, record: Any) -> ImageItem:
        kind, page = record.get("filetype"), record.get("foreign_landing_url")
        return self.picture(
            keyword,
            record["url"],
            page_url=page,
            source_id=record["id"],
            license=" ".join(filter(None, (record.get("license"), record.get("license_version")))),
            mime=f"image/{MIME.get(kind, kind)}" if kind else None,
            key=url_key(page) if page and record.get("provider") == "flickr" else "",  # as the source `flickr` has it
            **{name: record.get(name) for name in SAME},
        )


def sentence(detail: Any) -> str:
    return "; ".join(" ".join(texts) for texts in detail.values()) if isinstance(detail, dict) else str(detail)
