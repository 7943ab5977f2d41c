"""DuckDuckGo Images: a page gives a token, and the token results."""

import json
import re
from collections.abc import Mapping
from typing import Any

from scrapy.http import Request, Response

from pixcrawler.base_spiders import Page, Search, each, engine_terms
from pixcrawler.errors import SourceRefused, SourceSaysLater
from pixcrawler.items import ImageItem
from pixcrawler.jobs import Spent

TOKEN = re.compile(r"""vqd=["']?([\d-]+)["'&]""")
OFFSET = re.compile(r"[?&]s=(\d+)")
SLOTS = ("time", "size", "color", "type", "layout", "license")
LATER = 600.0  # seconds; it forgets in minutes
COLOURS = ("red", "orange", "yellow", "green", "teal", "blue", "purple", "pink", "brown", "black", "white")
FETCHED = {"sec_fetch_dest": "empty", "sec_fetch_mode": "cors", "sec_fetch_site": "same-origin"}


class DuckDuckGo(Search):
    name = "duckduckgo"
    base_url = "https://duckduckgo.com"
    delay = 2.0  # nobody says how often it may be asked: as a person who looks on
    as_browser = True
    first_cursor = {"s": 0}  # results passed; and `vqd`, the token, unless it is still to be fetched
    cap = 500
    handle_httpstatus_list = (301, 403, 418)
    terms = engine_terms("https://duckduckgo.com/terms")
    fields = ("page_url", "title", "width", "height")
    filters = {
        "size": each("size", small="Small", medium="Medium", large="Large", huge="Wallpaper"),
        "aspect": each("layout", square="Square", wide="Wide", tall="Tall"),
        "colour": each("color", colour="color", grey="Monochrome", **{name: name.title() for name in COLOURS}),
        "type": each("type", photo="photo", clipart="clipart", line="line", animated="gif"),
        "licence": each("license", known="any", commercial="ShareCommercially", derivatives="Modify")
        | each("license", **{"public-domain": "Public"}),
        "safe": each("p", off="-1", moderate="1", strict="1"),
        "locale": {"*": {"l": "{country}-{language}"}},
        "date": each("time", day="Day", week="Week", month="Month", year="Year"),
    }

    def search(self, keyword: str, cursor: Any, narrowed: Mapping[str, str]) -> Request:
        about = {"q": keyword, "l": narrowed.get("l", "wt-wt").lower(), "p": narrowed["p"]}
        if "vqd" not in cursor:
            return self.ask("", {**about, "iax": "images", "ia": "images"}, accept="text/html")
        slots = ",".join(f"{name}:{narrowed[name]}" if name in narrowed else "" for name in SLOTS)
        query = {"o": "json", **about, "vqd": cursor["vqd"], "f": slots, "s": cursor["s"]}
        return self.ask("i.js", query, accept="*/*", referer=f"{self.base_url}/", **FETCHED)

    def found(self, response: Response, keyword: str, cursor: Any) -> Page:
        if response.status == 403 and "vqd" in cursor and self.first_time(keyword, cursor["s"]):
            return Page([], {"s": cursor["s"]})  # for another token
        if response.status != 200 or b"ops@duckduckgo.com" in response.body:  # 202 is a challenge
            raise SourceSaysLater(f"takes us for a machine ({response.status})", LATER)
        if "vqd" not in cursor:
            return Page([], cursor | {"vqd": token(response)})
        answer = json.loads(response.body)
        items = self.items(keyword, answer["results"])
        following = OFFSET.search(answer.get("next") or "")
        if following is None:
            return Page(items, spent=Spent.EXHAUSTED)
        passed = int(following[1])
        return Page(items, {"s": passed, "vqd": cursor["vqd"]}, Spent.CAPPED if passed >= self.cap else None)

    def item(self, keyword: str, record: Any) -> ImageItem:
        facts = {name: record[name] for name in ("title", "width", "height")}
        return self.picture(keyword, record["image"], page_url=record["url"], **facts)


def token(response: Response) -> str:
    found = TOKEN.search(response.text)
    if found is None:
        raise SourceRefused("gives no token")
    return found[1]
