"""Openverse, the catalogue of openly licensed images. Documentation: https://api.openverse.org/v1/"""

import json
from html import unescape
from typing import Any
from urllib.parse import urlencode

from scrapy.http import Request, Response
from w3lib.html import remove_tags

from pixcrawler.base_spiders import Page, PagedSearch
from pixcrawler.errors import SourceRefused
from pixcrawler.items import ImageItem
from pixcrawler.jobs import Spent

SAME = ("creator_url", "license_url", "width", "height", "filesize")  # fields called alike there and here
MIME = {"jpg": "jpeg", "tif": "tiff", "svg": "svg+xml"}


class Openverse(PagedSearch):
    name = "openverse"
    base_url = "https://api.openverse.org"
    delay = 3.0  # 20 requests a minute without a key
    page_size = 20  # the most without a key
    cap = 240
    handle_httpstatus_list = (400, 401)  # their bodies say why

    def page_request(self, keyword: str, cursor: Any) -> Request:
        query = urlencode({"q": keyword, "page": cursor, "page_size": self.page_size})
        return Request(f"{self.base_url}/v1/images/?{query}", headers={"Accept": "application/json"})

    def read_page(self, response: Response, keyword: str, cursor: Any) -> Page:
        answer = json.loads(response.body)
        if response.status != 200:
            return refused(response.status, answer["detail"], cursor)
        items = [self.item(keyword, result) for result in answer["results"]]
        last = not items or cursor >= answer["page_count"]
        at_end = Spent.CAPPED if answer["result_count"] >= self.cap else Spent.EXHAUSTED  # a larger count is not told
        return Page(items, cursor + 1, at_end if last else None)

    def item(self, keyword: str, said: dict[str, Any]) -> ImageItem:
        facts: dict[str, Any] = {name: said.get(name) or None for name in SAME}
        facts |= {name: plain(said.get(name)) for name in ("title", "creator", "attribution")}
        facts |= {"page_url": said.get("foreign_landing_url"), "source_id": said.get("id")}
        facts["license"] = " ".join(filter(None, (said.get("license"), said.get("license_version")))) or None
        if kind := said.get("filetype"):
            facts["mime"] = f"image/{MIME.get(kind, kind)}"
        return ImageItem(said["url"] or "", self.name, keyword, **facts)


def plain(text: str | None) -> str | None:
    return " ".join(unescape(remove_tags(text or "")).split()) or None


def refused(status: int, detail: Any, cursor: int) -> Page:
    if status == 401 and "pagination depth" in detail:
        return Page([], cursor, Spent.CAPPED)
    sentence = "; ".join(" ".join(texts) for texts in detail.values()) if isinstance(detail, dict) else detail
    raise SourceRefused(f"answered {status}: {sentence}")
