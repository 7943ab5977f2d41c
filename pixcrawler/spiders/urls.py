"""A list of image addresses in a file, with what the list says of each picture."""

from collections.abc import Iterator
from typing import Any

from scrapy.http import Response

from pixcrawler.base_spiders import Arguments, Page, Robots, Terms, UrlList
from pixcrawler.items import ImageItem
from pixcrawler.jobs import Spent
from pixcrawler.ledger import Run
from pixcrawler.lists import COLUMNS, Line, read_lines


class Urls(UrlList):
    name = "urls"
    terms = Terms(
        url="",
        datasets="those of the sites the list names",
        attribution="as the list says, or the pages of the pictures",
        robots=Robots.OBEYED,
    )
    extra_arguments = frozenset(f"{field}_column" for field in COLUMNS)

    @classmethod
    def check_arguments(cls, arguments: Arguments) -> None:
        super().check_arguments(arguments)
        assert arguments.list_file is not None
        next(read_lines(arguments.list_file, start=0, columns=columns_of(arguments)))

    async def prepare(self, run: Run) -> None:
        await super().prepare(run)
        self.readers: dict[tuple[str, int], Iterator[tuple[int, Line]]] = {}  # by keyword and cursor

    def lines(self, start: int = 0) -> Iterator[tuple[int, Line]]:
        assert self.file is not None
        return read_lines(self.file, start=start, columns=columns_of(self.arguments))

    def read_page(self, response: Response, keyword: str, cursor: Any) -> Page:
        reader = self.readers.pop((keyword, cursor), None) or self.lines(cursor)
        wanted = max(16, self.ledger.missing(keyword))  # no more: other keywords want some; 16: not one at a time
        chosen = self.arguments.keywords or self.arguments.attempt
        page = Page([], cursor, Spent.EXHAUSTED)
        for page.cursor, line in reader:
            if not chosen or line.fits(keyword):
                page.items.append(ImageItem(line.url, self.name, keyword, **line.facts()))
            if len(page.items) == wanted or page.cursor == cursor + self.page_size:
                page.spent = None
                break
        self.readers[keyword, page.cursor] = reader
        return page


def columns_of(arguments: Arguments) -> dict[str, str]:
    return {name.removesuffix("_column"): column for name, column in arguments.extra.items()}
