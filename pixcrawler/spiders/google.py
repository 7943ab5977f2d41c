"""Google Images, as a browser shows it: without one there are no results. Pages are scrolls of growing length."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from scrapy.http import Request, Response

from pixcrawler.base_spiders import Page, Robots, Search, Terms, rendered
from pixcrawler.errors import SourceRefused, SourceSaysLater
from pixcrawler.items import ImageItem
from pixcrawler.jobs import Spent

DECLINE = 'form:has(input[name="set_eom"][value="true"]) :is(button, [type="submit"])'
TILES = "[data-docid]"
RECORD = re.compile(r'\[0,"([\w-]{6,})",(\[.*?)(?=\[0,"[\w-]{6,}",\[|\Z)', re.DOTALL)
ORIGINAL = re.compile(r'\["https?://encrypted-tbn[^"]*",\d+,\d+\],\["(https?://[^"]+)",(\d+),(\d+)\]')
ABOUT = re.compile(r'"2003":\[null,"[\w-]+","((?:[^"\\]|\\.)*)","((?:[^"\\]|\\.)*)"')
COLOURS = ("red", "orange", "yellow", "green", "teal", "blue", "purple", "pink", "brown", "black", "white")


def tbs(**words: str) -> dict[str, dict[str, str]]:
    return {value: {"tbs": word} for value, word in words.items()}


class Google(Search):
    name = "google"
    base_url = "https://www.google.com"
    delay = 10.0  # nobody says; a person looks at a hundred pictures first
    first_cursor = 100  # pictures to scroll to
    cap = 1000
    handle_httpstatus_list = (429,)
    terms = Terms(
        url="https://policies.google.com/terms",
        datasets="automated access against robots.txt is forbidden; the pictures belong to the pages they are from",
        attribution="none of the search's own; pictures come without author and licence",
        robots=Robots.FORBIDDEN,
        consent="robots.txt forbids its search pages, and its terms forbid machines to ask for them all the same",
    )
    fields = ("page_url", "title", "source_id", "width", "height")
    filters = {
        "size": tbs(large="isz:lt,islt:2mp", huge="isz:lt,islt:8mp"),
        "aspect": tbs(square="iar:s", wide="iar:w", tall="iar:t"),
        "colour": tbs(colour="ic:color", grey="ic:gray", transparent="ic:trans")
        | {colour: {"tbs": f"ic:specific,isc:{colour}"} for colour in COLOURS},
        "type": tbs(photo="itp:photo", clipart="itp:clipart", line="itp:lineart", animated="itp:animated"),
        "safe": {"off": {"safe": "off"}, "moderate": {"safe": "active"}, "strict": {"safe": "active"}},
        "locale": {"*": {"lr": "lang_{language}", "gl": "{country}"}},
        "date": tbs(day="qdr:d", week="qdr:w", month="qdr:m", year="qdr:y")
        | {"*": {"tbs": "cdr:1,cd_min:{since:%m/%d/%Y},cd_max:{until:%m/%d/%Y}"}},
    }

    def search(self, keyword: str, cursor: Any, narrowed: Mapping[str, str]) -> Request:
        query = {"q": keyword, "udm": 2, "hl": "en", **narrowed}  # in English, so that its own sentences are known
        return rendered(self.ask("search", query, accept="text/html"), decline=DECLINE, scroll=TILES, until=cursor)

    def found(self, response: Response, keyword: str, cursor: Any) -> Page:
        if response.status == 429 or "/sorry/" in response.url or response.css("#captcha-form"):
            raise SourceSaysLater("takes us for a machine", 3600)  # for long
        items = self.items(keyword, records(response.text))
        if not items and "did not match any" not in response.text:
            raise SourceRefused(f"tells of neither results nor their absence ({response.css('title::text').get()})")
        at_end = Spent.CAPPED if cursor >= self.cap else None
        return Page(items, min(2 * cursor, self.cap), at_end if len(response.css(TILES)) >= cursor else Spent.EXHAUSTED)

    def item(self, keyword: str, record: Any) -> ImageItem:
        docid, text = record
        original, about = ORIGINAL.match(text), ABOUT.search(text)
        if not original or not about:
            raise ValueError(f"{docid} does not say where its picture is")
        url, height, width, page_url, title = map(decoded, original.groups() + about.groups())
        return self.picture(keyword, url, page_url=page_url, title=title, source_id=docid, width=width, height=height)


def records(page: str) -> Iterable[tuple[str, str]]:
    """Each picture's id and what is written about it: in scripts of the page, or within strings they have fetched."""
    in_strings = re.sub(r'\\(["\\/])', r"\1", page)
    return (dict(RECORD.findall(in_strings)) | dict(RECORD.findall(page))).items()


def decoded(text: str) -> str:
    return str(json.loads(f'"{text}"', strict=False))
