"""IIIF, which libraries and museums publish by: the pictures of manifests, and of all a collection leads to."""

import json
from collections.abc import Iterator

from scrapy.http import Request, Response

from pixcrawler.base_spiders import Robots, Site, Terms
from pixcrawler.errors import SourceRefused
from pixcrawler.items import ImageItem
from pixcrawler.markup import iiif


class Iiif(Site):
    name = "iiif"
    delay = 0.2  # viewers ask far more of such servers
    accept = "application/ld+json,application/json"
    terms = Terms(
        url="",
        datasets="those of the institutions; each picture under its own rights statement",
        attribution="as the manifests require",
        robots=Robots.OBEYED,
    )
    fields = ("page_url", "title")

    def visit(self, response: Response, keyword: str) -> Iterator[ImageItem | Request | str]:
        try:
            document = json.loads(response.body)
        except ValueError as error:
            raise SourceRefused(f"{response.url} is no JSON") from error
        for facts in iiif.pictures(document, response.url):
            service = facts.pop("service", None)
            if service is None:
                yield self.picture(keyword, **facts)
            else:
                yield Request(service, headers={"Accept": self.accept}, meta={"known": facts})
        yield from iiif.addresses(document, response.url)

    def read_lookup(self, response: Response, keyword: str) -> list[ImageItem]:
        url, width, height = iiif.largest(json.loads(response.body))
        return [self.picture(keyword, **response.meta["known"] | {"url": url, "width": width, "height": height})]
