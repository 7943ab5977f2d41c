"""A list of image addresses in a file, with what the list says of each picture."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from scrapy.http import Response

from pixcrawler.base_spiders import Arguments, Page, UrlList
from pixcrawler.items import ImageItem
from pixcrawler.jobs import Spent
from pixcrawler.ledger import Run
from pixcrawler.lists import COLUMNS, Line, read_lines


class Urls(UrlList):
    name = "urls"
    extra_arguments = frozenset(f"{field}_column" for field in COLUMNS)
    folder: TemporaryDirectory[str] | None = None

    @classmethod
    def check_arguments(cls, arguments: Arguments) -> None:
        super().check_arguments(arguments)
        next(lines_of(arguments, arguments.list_file or Path(), 0))

    async def prepare(self, run: Run) -> None:
        self.readers: dict[tuple[str, int], Iterator[tuple[int, Line]]] = {}  # by keyword and cursor
        key = run.options.get("list", "")
        self.file = self.arguments.list_file or self.copied(key, await self.stored_file(key))

    def copied(self, key: str, content: bytes) -> Path:
        self.folder = TemporaryDirectory(prefix="pixcrawler-")
        file = Path(self.folder.name, PurePosixPath(key).name)
        file.write_bytes(content)
        return file

    def closed(self, reason: str) -> None:
        if self.folder:
            self.folder.cleanup()

    def read_page(self, response: Response, keyword: str, cursor: Any) -> Page:
        reader = self.readers.pop((keyword, cursor), None) or lines_of(self.arguments, self.file, cursor)
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


def lines_of(arguments: Arguments, file: Path, start: int) -> Iterator[tuple[int, Line]]:
    columns = {name.removesuffix("_column"): column for name, column in arguments.extra.items()}
    return read_lines(file, start=start, columns=columns)
