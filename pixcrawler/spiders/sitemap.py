"""Sitemaps of web sites: the pictures their image extension names; an index leads to all of its sitemaps."""

from collections.abc import Iterator

from scrapy.http import Request, Response

from pixcrawler.base_spiders import Robots, Site, Terms
from pixcrawler.items import ImageItem
from pixcrawler.markup import sitemap


class Sitemap(Site):
    name = "sitemap"
    accept = "application/xml,text/xml,*/*;q=0.5"
    terms = Terms(
        url="",
        datasets="those of the sites the sitemaps are of",
        attribution="as the pages of the pictures say",
        robots=Robots.OBEYED,
    )
    fields = ("page_url",)

    def visit(self, response: Response, keyword: str) -> Iterator[ImageItem | Request | str]:
        for find in sitemap.finds(response.body, response.url):
            yield find if isinstance(find, str) else self.picture(keyword, **find)
