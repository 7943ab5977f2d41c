"""Europeana, what Europe's museums, archives and libraries have. Documentation: https://pro.europeana.eu/page/apis"""

import json
from collections.abc import Mapping
from typing import Any

from scrapy.http import Request, Response

from pixcrawler.base_spiders import Key, Page, Search, Terms, each, words_of
from pixcrawler.errors import SourceRefused
from pixcrawler.items import ImageItem
from pixcrawler.jobs import Spent


class Europeana(Search):
    name = "europeana"
    base_url = "https://api.europeana.eu"
    delay = 1.0  # no limit is published
    key = Key("EUROPEANA_KEY", header="X-Api-Key")
    handle_httpstatus_list = (400, 401, 403)
    terms = Terms(
        url="https://www.europeana.eu/rights/terms-of-use",
        datasets="allowed; the data is CC0, each picture under the rights its institution states",
        attribution="credit maker, institution and Europeana, with a link to the picture's page there",
    )
    fields = ("page_url", "title", "license_url", "source_id")
    filters = {
        "colour": each("qf", colour="IMAGE_COLOUR:true", grey="IMAGE_COLOUR:false"),
        "licence": {**each("reusability", commercial="open"), "public-domain": {"reusability": "open"}},
    }

    def search(self, keyword: str, cursor: Any, narrowed: Mapping[str, str]) -> Request:
        query = {"query": words_of(keyword), "media": "true", "profile": "rich", "rows": 100, "cursor": cursor or "*"}
        narrower = ["TYPE:IMAGE", *filter(None, [narrowed.get("qf")])]
        return self.ask("record/v2/search.json", {**query, **narrowed, "qf": narrower})

    def found(self, response: Response, keyword: str, cursor: Any) -> Page:
        answer = json.loads(response.body)
        if not answer["success"]:
            raise SourceRefused(f"answered {response.status}: {answer['error']}")
        items = self.items(keyword, answer["items"], 0 if cursor else answer["totalResults"])
        more = answer.get("nextCursor")
        return Page(items, more, None if more else Spent.EXHAUSTED)

    def item(self, keyword: str, record: Any) -> ImageItem:
        names = [name for name in record.get("dcCreator", []) if "://" not in name]
        return self.picture(
            keyword,
            record["edmIsShownBy"][0],
            page_url=f"https://www.europeana.eu/item{record['id']}",  # its guid tells our key
            title=next(iter(record.get("title", [])), None),  # some have a description instead
            creator=names[0] if names else None,
            license_url=record["rights"][0],
            source_id=record["id"],
        )
