"""The Art Institute of Chicago. Documentation: https://api.artic.edu/docs/"""

import json
from collections.abc import Mapping
from typing import Any

from scrapy.http import Request, Response

from pixcrawler.base_spiders import Page, PagedSearch, Terms
from pixcrawler.errors import SourceRefused
from pixcrawler.items import ImageItem
from pixcrawler.jobs import Spent

FIELDS = ["id", "title", "artist_title", "is_public_domain", "image_id", "thumbnail"]
WIDEST = 1686  # pixels; the largest it offers, and of works in the public domain alone
CC0 = "https://creativecommons.org/publicdomain/zero/1.0/"


class Artic(PagedSearch):
    """Works in the public domain: of others it asks not to use the pictures."""

    name = "artic"
    base_url = "https://api.artic.edu"
    delay = 1.0  # at most one request a second
    page_size = 100
    cap = 1000
    handle_httpstatus_list = (400, 403)
    terms = Terms(
        url="https://www.artic.edu/image-licensing",
        datasets="allowed for works in the public domain, whose pictures are CC0; all data at once is there too",
        attribution="none is due; the museum asks to be named",
    )
    fields = ("page_url", "title", "license", "license_url", "source_id", "width", "height")
    filters = {"licence": {"known": {}, "commercial": {}, "derivatives": {}, "public-domain": {}}}  # see `search`
    split_by = {"ids": ("0-9999", "10000-29999", "30000-59999", "60000-99999", "100000-199999", "200000-")}

    def search(self, keyword: str, cursor: Any, narrowed: Mapping[str, str]) -> Request:
        first, _, last = narrowed.get("ids", "0-").partition("-")
        ids = {"gte": int(first), **({"lte": int(last)} if last else {})}
        conditions = [{"term": {"is_public_domain": True}}, {"exists": {"field": "image_id"}}, {"range": {"id": ids}}]
        question = {"q": keyword, "query": {"bool": {"must": conditions}}, "fields": FIELDS}
        pages = {"page": cursor, "limit": self.page_size}
        return self.ask("api/v1/artworks/search", {"params": json.dumps({**question, **pages}, separators=(",", ":"))})

    def found(self, response: Response, keyword: str, cursor: Any) -> Page:
        answer = json.loads(response.body)
        if response.status == 403 and answer["error"] == "Invalid number of results":
            return Page([], spent=Spent.CAPPED)
        if response.status != 200:
            raise SourceRefused(f"answers {response.status}: {answer['detail']}")
        left = answer["pagination"]["total"] - (cursor - 1) * self.page_size
        works = ((answer["config"]["iiif_url"], work) for work in answer["data"])
        items = self.items(keyword, works, max(left, 0))
        return Page(items, spent=Spent.EXHAUSTED if left <= self.page_size else None)

    def item(self, keyword: str, record: Any) -> ImageItem | None:
        images, work = record
        if not work["is_public_domain"] or not work["image_id"]:
            return None
        size = work["thumbnail"] or {}  # the whole picture's
        width, height = size.get("width"), size.get("height")
        shown = min(width or WIDEST, WIDEST)
        return self.picture(
            keyword,
            f"{images}/{work['image_id']}/full/{shown},/0/default.jpg",
            page_url=f"https://www.artic.edu/artworks/{work['id']}",
            title=work["title"],
            creator=work["artist_title"],
            license="CC0",
            license_url=CC0,
            source_id=str(work["id"]),
            width=shown if width else None,
            height=round(height * shown / width) if width and height else None,
            mime="image/jpeg",
        )
