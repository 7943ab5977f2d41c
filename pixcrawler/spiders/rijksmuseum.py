"""The Rijksmuseum. Documentation: https://data.rijksmuseum.nl/docs/search"""

import json
from collections.abc import Mapping
from typing import Any

from scrapy.http import Request, Response
from w3lib.url import url_query_parameter

from pixcrawler.base_spiders import Page, Search, Terms
from pixcrawler.errors import SourceRefused
from pixcrawler.items import ImageItem
from pixcrawler.jobs import Spent

LINKED_DATA = "application/ld+json"  # else it answers with its documentation
NAMES = ("en", "@value", "http://www.w3.org/2004/02/skos/core#prefLabel", "nl")  # where words are, the best first


class Rijksmuseum(Search):
    """It finds words in titles or in descriptions: both are asked, one after the other.

    `cursor` is the field that is asked, and the token of the page. Each object found is asked for its picture.
    """

    name = "rijksmuseum"
    base_url = "https://data.rijksmuseum.nl"
    delay = 1.0  # no limit is published
    first_cursor = ("title", None)
    handle_httpstatus_list = (400,)
    terms = Terms(
        url="https://data.rijksmuseum.nl/policy/",
        datasets="allowed; most pictures are in the public domain, each says so itself",
        attribution="none is due; the museum asks to be named",
    )
    fields = ("page_url", "title", "license_url", "source_id")

    def search(self, keyword: str, cursor: Any, narrowed: Mapping[str, str]) -> Request:
        field, token = cursor
        query = {field: keyword, "imageAvailable": "true", "pageToken": token}
        return self.ask("search/collection", query, accept=LINKED_DATA)

    def found(self, response: Response, keyword: str, cursor: Any) -> Page:
        if response.status != 200:
            raise SourceRefused(f"answers {response.status}: {response.text[:200].strip()}")
        answer, (field, token) = json.loads(response.body), cursor
        claimed = 0 if token else answer["partOf"]["totalItems"]
        lookups = self.lookups(keyword, answer["orderedItems"], claimed, accept=LINKED_DATA)
        if "next" in answer:
            return Page([], [field, url_query_parameter(answer["next"]["id"], "pageToken")], lookups=lookups)
        if field == "title":
            return Page([], ["description", None], lookups=lookups)
        return Page([], spent=Spent.EXHAUSTED, lookups=lookups)

    def item(self, keyword: str, record: Any) -> ImageItem:
        number = record["id"].rpartition("/")[2]
        return self.picture(keyword, f"{number}?_profile=edm-framed", source_id=number)

    def read_lookup(self, response: Response, keyword: str) -> list[ImageItem]:
        record = json.loads(response.body)
        if "isShownBy" not in record and "/full/max/" not in response.text:
            return []  # it has no picture, though asked for objects with one
        work = record["aggregatedCHO"]
        return [
            self.picture(
                keyword,
                record["isShownBy"]["id"],
                page_url=record["isShownAt"]["id"],
                title=in_words(work.get("title")),
                creator=in_words(work.get("creator")),
                license_url=record.get("edmRights"),
                source_id=response.meta["known"]["source_id"],
            )
        ]


def in_words(value: Any) -> str | None:
    """The first words in a text, a list, texts by language, or what has a name: the museum has all of these."""
    if isinstance(value, str):
        return value
    parts = [value[name] for name in NAMES if name in value] if isinstance(value, dict) else value or []
    return next((words for part in parts if (words := in_words(part))), None)
