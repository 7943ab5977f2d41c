"""Bing Images, as its own pages ask for more results."""

import json
import re
from collections.abc import Mapping
from typing import Any

from scrapy.http import Request, Response

from pixcrawler.base_spiders import Page, PagedSearch, each, engine_terms
from pixcrawler.errors import SourceRefused, SourceSaysLater
from pixcrawler.items import ImageItem
from pixcrawler.jobs import Spent
from pixcrawler.ledger import Run

MARKS = str.maketrans("", "", "\ue000\ue001")  # around the words that were searched for
SIZES = ("small", "medium", "large")
SIZE = re.compile(r"(\d+)\s*[x×]\s*(\d+)")  # in "3442 x 2972 · png"
SOMETHING = "//li | //body//text()[normalize-space() and not(ancestor::script or ancestor::style)]"
STALE = 3  # pages in a row without anything new
LATER = 600.0  # seconds
COLOURS = ("red", "orange", "yellow", "green", "teal", "blue", "purple", "pink", "brown", "black", "white")


class Bing(PagedSearch):
    name = "bing"
    base_url = "https://www.bing.com"
    delay = 2.0  # nobody says how often it may be asked: as a person who looks on
    as_browser = True
    page_size = 35  # whatever `count` says
    cap = 1000
    terms = engine_terms("https://www.microsoft.com/servicesagreement")
    joined_by = "+filterui:"
    fields = ("page_url", "title", "source_id")
    filters = {
        "size": each("qft", **{size: f"imagesize-{size}" for size in SIZES}, huge="imagesize-wallpaper"),
        "aspect": each("qft", square="aspect-square", wide="aspect-wide", tall="aspect-tall"),
        "colour": each("qft", **{colour: f"color2-FGcls_{colour.upper()}" for colour in COLOURS})
        | each("qft", colour="color2-color", grey="color2-bw", transparent="photo-transparent"),
        "type": each("qft", photo="photo-photo", clipart="photo-clipart", line="photo-linedrawing")
        | each("qft", animated="photo-animatedgif"),
        "licence": each("qft", known="licenseType-Any", **{"public-domain": "license-L1"})
        | each("qft", commercial="license-L2_L3_L4", derivatives="license-L2_L3_L5_L6"),
        "safe": each("adlt", "off", "moderate", "strict"),
        "locale": {"*": {"mkt": "{language}-{country}"}},
        "date": each("qft", day="age-lt1440", week="age-lt10080", month="age-lt43200", year="age-lt525600"),
    }

    async def prepare(self, run: Run) -> None:
        self.met: dict[tuple[str, str], int] = {}  # keyword and picture → its first page

    def search(self, keyword: str, cursor: Any, narrowed: Mapping[str, str]) -> Request:
        query = {"q": keyword, "first": (cursor - 1) * self.page_size + 1, "count": self.page_size, "mmasync": 1}
        narrowed = {name: f"+filterui:{words}" if name == "qft" else words for name, words in narrowed.items()}
        return self.ask("images/async", query | narrowed, accept="text/html", referer=f"{self.base_url}/")

    def found(self, response: Response, keyword: str, cursor: Any) -> Page:
        if results := response.css("a.iusc"):
            items = self.items(keyword, results)
            latest = max(self.met.setdefault((keyword, item.key), cursor) for item in items)
            return Page(items, spent=Spent.EXHAUSTED if cursor - latest >= STALE else None)
        at_end = bool(response.css(".dgControl")) and not response.css("li")  # the frame of results alone
        if not at_end and response.xpath(SOMETHING):
            raise SourceRefused("shows something else than results")
        again = not at_end and not self.first_time(keyword, cursor)
        if at_end or (again and cursor > 1):
            return Page([], spent=Spent.EXHAUSTED)
        raise SourceSaysLater("answers an empty page", LATER if again else 1)

    def item(self, keyword: str, record: Any) -> ImageItem:
        about = json.loads(record.attrib["m"])
        said = SIZE.search(" ".join(record.xpath("ancestor::li[1]//span/text()").getall()))
        size = dict(zip(("width", "height"), said.groups(), strict=True)) if said else {}
        title = (about.get("t") or "").translate(MARKS)
        facts = {"page_url": about["purl"], "title": title, "source_id": about["mid"], **size}
        return self.picture(keyword, about["murl"], **facts)
