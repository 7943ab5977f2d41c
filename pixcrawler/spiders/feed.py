"""Feeds, RSS and Atom with Media RSS: the pictures of their entries, page after page."""

from collections.abc import Iterator

from scrapy.http import Request, Response

from pixcrawler.base_spiders import Robots, Site, Terms
from pixcrawler.errors import SourceRefused
from pixcrawler.items import ImageItem
from pixcrawler.markup import feed


class Feed(Site):
    name = "feed"
    accept = "application/rss+xml,application/atom+xml,application/xml,text/xml,*/*;q=0.5"
    handle_httpstatus_list = (404,)  # where WordPress has no more entries
    terms = Terms(
        url="",
        datasets="those of the sites the feeds are of",
        attribution="as the feeds say",
        robots=Robots.OBEYED,
    )
    fields = ("page_url", "title")

    def visit(self, response: Response, keyword: str) -> Iterator[ImageItem | Request | str]:
        if response.status == 404:
            if not feed.is_behind_the_last(response.url):
                raise SourceRefused("answers 404")
            return
        found = feed.parsed(response.body, response.url)
        yield from (self.picture(keyword, **facts) for facts in feed.pictures(found, response.url))
        if further := feed.next_page(found, response.url):
            yield further
