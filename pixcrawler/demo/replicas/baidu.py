"""Baidu's image search as a browser's scripts meet it."""

from __future__ import annotations

import json
from typing import Any

from pixcrawler.demo.catalogue import Entry
from pixcrawler.demo.replicas import Answer, Asked, Replica

REACH = 1948
MOST = 60  # results of a page
SIGNS = {":": "_z2C$q", ".": "_z&e3B", "/": "AzdH3F"}
LETTERS = str.maketrans("7dgjmoru140852vsnkheb963wtqplifca", "0123456789abcdefghijklmnopqrstuvw")
FORBIDDEN = {"antiFlag": 1, "message": "Forbid spider access", "bfe_log_id": "1234567890123456789"}


class Baidu(Replica):
    """Results for those who come from the home page, with its cookie. Addresses are ciphered, the JSON has defects."""

    source = "baidu"
    redesign = ('"data"', '"images"')

    def page(self, asked: Asked) -> Answer | None:
        if asked.path == "/":
            return Answer.text("<html><title>image</title></html>", Set_Cookie="BAIDUID=5E1F:FG=1; Path=/")
        if asked.path != "/search/acjson":
            return None
        if not self._is_in_order(asked):
            return self.limited(asked)
        entries = self.entries(asked.query["word"])
        reachable = min(len(entries), REACH)
        passed, wanted = int(asked.query["pn"]), min(int(asked.query["rn"]), MOST)
        records = self.records(entries[:reachable][passed : passed + wanted])
        answer = {
            "queryExt": asked.query["word"],
            "displayNum": len(entries),
            "listNum": reachable,
            "bdFmtDispNum": f"about {len(entries)}",
            "data": [*records, {}],
        }
        page = Answer.text(json.dumps(answer).replace("'", "\\'"), "application/json")
        return page if passed < max(reachable, 1) else self.scold(asked, page)

    def limited(self, asked: Asked) -> Answer:
        return Answer.json(FORBIDDEN)

    def _is_in_order(self, asked: Asked) -> bool:
        came_from_home = asked.headers.get("referer") == f"{self.url}/" and "BAIDUID" in asked.cookies
        return came_from_home and asked.headers.get("x-requested-with") == "XMLHttpRequest"

    def record(self, entry: Entry) -> dict[str, Any]:
        thumb = f"{self.url}/it/u={entry.id}&fm=26"
        return {
            "thumbURL": thumb,
            "middleURL": thumb,
            "hoverURL": thumb,
            "objURL": _ciphered(self.address(entry)),
            "fromURL": _ciphered(f"{self.url}/pages/{entry.id}"),
            "fromURLHost": "127.0.0.1",
            "width": entry.width or 1200,
            "height": entry.height or 900,
            "type": "jpg",
            "fromPageTitle": f"<strong>{entry.keyword}</strong>'s {entry.title}",
            "fromPageTitleEnc": f"{entry.keyword}'s {entry.title}",
            "di": entry.id,
            "is_gif": 0,
            "filesize": "",
        }

    def spoiled(self, record: Any) -> dict[str, Any]:
        return {name: value for name, value in record.items() if name != "objURL"}


def _ciphered(address: str) -> str:
    letters = address.translate(LETTERS)
    return "".join(SIGNS.get(letter, letter) for letter in letters)
