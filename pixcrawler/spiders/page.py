"""Any web page or gallery: the pictures it shows and links to, page after page."""

from collections.abc import Iterator

from scrapy.http import HtmlResponse, Request, Response

from pixcrawler.base_spiders import Arguments, Robots, Site, Terms, rendered
from pixcrawler.errors import SourceRefused, UsageError
from pixcrawler.items import ImageItem
from pixcrawler.markup import html


class Page(Site):
    name = "page"
    terms = Terms(
        url="",
        datasets="those of the pages given",
        attribution="as the pages say",
        robots=Robots.OBEYED,
    )
    fields = ("page_url",)
    extra_arguments = Site.extra_arguments | {"rendered"}

    @classmethod
    def check_arguments(cls, arguments: Arguments) -> None:
        super().check_arguments(arguments)
        if arguments.extra.get("rendered", "yes") != "yes":
            raise UsageError("rendered: expected yes, or nothing at all")

    def visiting(self, request: Request) -> Request:
        request = super().visiting(request)
        return rendered(request) if "rendered" in self.arguments.extra else request

    def visit(self, response: Response, keyword: str) -> Iterator[ImageItem | Request | str]:
        kind = response.headers.get("Content-Type") or b"html"
        if not isinstance(response, HtmlResponse) or b"html" not in kind:
            raise SourceRefused(f"{response.url} is no web page")
        if denial := html.reservation(response.selector):
            raise SourceRefused(f"{response.url} reserves its pictures: {denial.rule}")
        base = html.base_of(response.selector, response.url)
        pictures = html.pictures(response.selector, base)
        if len(pictures) < 2 and html.is_shell(response.selector):  # one is the preview for where it is shared
            raise SourceRefused(f"{response.url} shows nothing until its scripts have run: -a rendered=yes runs them")
        yield from (self.picture(keyword, page_url=response.url, **facts) for facts in pictures)
        if further := html.next_page(response.selector, base):
            yield further
