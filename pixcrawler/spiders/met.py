"""The Metropolitan Museum of Art. Documentation: https://metmuseum.github.io/"""

import json
from collections.abc import Mapping
from typing import Any

from scrapy.http import Request, Response

from pixcrawler.base_spiders import Page, PagedSearch, Terms
from pixcrawler.errors import SourceRefused, SourceSaysLater
from pixcrawler.items import ImageItem
from pixcrawler.jobs import Spent

CC0 = "https://creativecommons.org/publicdomain/zero/1.0/"
SHUT_OUT = 300.0  # seconds; the firewall does not say how long, and forgives in minutes


class Met(PagedSearch):
    """A search finds numbers of objects; each is asked for its pictures."""

    name = "met"
    base_url = "https://collectionapi.metmuseum.org"
    delay = 1.0  # 80 requests a second are allowed, but the firewall before it shuts out who asks 30 in a row
    page_size = 100
    cap = 10_000
    handle_httpstatus_list = (403, 404)
    terms = Terms(
        url="https://www.metmuseum.org/about-the-met/policies-and-documents/open-access",
        datasets="allowed for works in the public domain, whose pictures are CC0",
        attribution="none is due; the museum asks to be named",
    )
    fields = ("page_url", "title", "license", "license_url", "source_id")

    def search(self, keyword: str, cursor: Any, narrowed: Mapping[str, str]) -> Request:
        query = {"hasImages": "true", "q": keyword, "limit": self.page_size, "offset": (cursor - 1) * self.page_size}
        return self.ask("public/collection/v1.1/search", query)

    def found(self, response: Response, keyword: str, cursor: Any) -> Page:
        answer = self._answered(response)
        left = answer["total"] - (cursor - 1) * self.page_size
        lookups = self.lookups(keyword, answer["objectIDs"] or [], max(left, 0))
        return Page([], spent=Spent.EXHAUSTED if left <= self.page_size else None, lookups=lookups)

    def item(self, keyword: str, record: Any) -> ImageItem:
        return self.picture(keyword, f"public/collection/v1/objects/{int(record)}")

    def read_lookup(self, response: Response, keyword: str) -> list[ImageItem]:
        if response.status == 404 and b"ObjectID not found" in response.body:
            return []
        record = self._answered(response)
        facts = {
            "page_url": record["objectURL"],
            "title": record["title"],
            "creator": record["artistDisplayName"],
            "license": "CC0" if record["isPublicDomain"] else record["rightsAndReproduction"],
            "license_url": CC0 if record["isPublicDomain"] else None,
            "source_id": str(record["objectID"]),
        }
        urls = [record["primaryImage"], *record["additionalImages"]]  # the first is "" where there are none
        return [self.picture(keyword, url, **facts) for url in urls if url]

    def _answered(self, response: Response) -> Any:
        if response.status == 403:
            raise SourceSaysLater("its firewall shuts us out (403)", SHUT_OUT)
        if response.status != 200:
            raise SourceRefused(f"answers {response.status}")
        return json.loads(response.body)
