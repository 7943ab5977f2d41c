"""Baidu Images, as its own pages ask for more results."""

import json
import re
from collections.abc import Mapping
from typing import Any

from scrapy.http import Request, Response

from pixcrawler.base_spiders import Page, Search, each, engine_terms
from pixcrawler.errors import SourceSaysLater
from pixcrawler.items import ImageItem
from pixcrawler.jobs import Spent

STEP = 30  # results of a page
APOSTROPHE = re.compile(r"(?<!\\)((?:\\\\)*)\\'")  # escaped, which JSON does not know
SIGNS = {"_z2C$q": ":", "_z&e3B": ".", "AzdH3F": "/"}
SIGN = re.compile("|".join(map(re.escape, SIGNS)))
LETTERS = str.maketrans("0123456789abcdefghijklmnopqrstuvw", "7dgjmoru140852vsnkheb963wtqplifca")
COLOURS = {"red": "1", "orange": "256", "yellow": "2", "green": "4", "purple": "32", "pink": "64", "teal": "8"}
COLOURS |= {"blue": "16", "brown": "12", "white": "1024", "black": "512", "grey": "2048"}
QUERY = {"tn": "resultjson_com", "ipn": "rj", "ct": 201326592, "is": "", "fp": "result", "cl": 2, "lm": -1}
QUERY |= {"ie": "utf-8", "oe": "utf-8", "st": -1, "z": "", "ic": "", "face": "", "width": "", "height": "", "rn": STEP}


class Baidu(Search):
    name = "baidu"
    base_url = "https://image.baidu.com"
    delay = 2.0  # nobody says how often it may be asked: as a person who looks on
    as_browser = True
    first_cursor = {"pn": 0}  # results passed; and whether there are cookies
    cap = 1948
    handle_httpstatus_list = (302,)
    terms = engine_terms("https://www.baidu.com/duty/")
    fields = ("page_url", "title", "source_id", "width", "height")
    filters = {
        "size": each("z", small="1", medium="2", large="3", huge="9"),
        "colour": each("ic", **COLOURS),
        "type": each("lm", animated="6"),
    }

    def search(self, keyword: str, cursor: Any, narrowed: Mapping[str, str]) -> Request:
        if "cookies" not in cursor:
            return self.ask("", accept="text/html")
        query = {**QUERY, "queryWord": keyword, "word": keyword, "pn": cursor["pn"], **narrowed}
        headers = {"accept": "text/plain, */*; q=0.01", "x_requested_with": "XMLHttpRequest"}
        return self.ask("search/acjson", query, referer=f"{self.base_url}/", **headers)

    def found(self, response: Response, keyword: str, cursor: Any) -> Page:
        if response.status == 302 or re.search(rb'"antiFlag"\s*:\s*1', response.body):
            if response.status == 200 and "cookies" in cursor and self.first_time(keyword, cursor["pn"]):
                return Page([], {"pn": cursor["pn"]})  # for other cookies
            raise SourceSaysLater("takes us for a machine", 600)
        if "cookies" not in cursor:
            return Page([], cursor | {"cookies": True})
        answer = json.loads(APOSTROPHE.sub(r"\1'", response.body.decode()), strict=False)
        records = [record for record in answer["data"] if record]  # the last one is always {}
        passed = cursor["pn"] + STEP
        items = self.items(keyword, records, claimed=0 if cursor["pn"] else answer["listNum"])
        at_end = Spent.CAPPED if answer["displayNum"] > answer["listNum"] else Spent.EXHAUSTED
        more = records and passed < answer["listNum"]
        return Page(items, {"pn": passed, "cookies": True}, None if more else at_end)

    def item(self, keyword: str, record: Any) -> ImageItem:
        mirror, size = (record.get("replaceUrl") or [{}])[0], {name: record[name] for name in ("width", "height")}
        return self.picture(
            keyword,
            deciphered(record["objURL"]) or mirror.get("ObjURL") or record["hoverURL"] or record["middleURL"],
            page_url=deciphered(record["fromURL"]) or mirror.get("FromURL"),
            title=record.get("fromPageTitleEnc") or record.get("fromPageTitle"),
            source_id=record["di"],
            **size,
        )


def deciphered(text: str | None) -> str | None:
    url = SIGN.sub(lambda sign: SIGNS[sign[0]], text or "").translate(LETTERS)
    return url if url.startswith("http") else None
