"""Bing's image search as a browser's scripts meet it."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from pixcrawler.demo.catalogue import Entry
from pixcrawler.demo.replicas import Answer, Asked, Replica

PAGE_SIZE = 35  # whatever is asked for
REACH = 1000
SHELL = "<!DOCTYPE html><html><head></head><body><script>var _G={};</script></body></html>"
FRAME = (
    '<div id="mmComponent_images_1" class="dgControl" data-nextUrl="/images/async?q={}&amp;first={}">'
    '<ul class="dgControl_list">{}</ul></div>'
)


class Bing(Replica):
    """Pages of 35, some pictures twice, with a sentence's words marked; then a frame without results."""

    source = "bing"
    redesign = ('"iusc"', '"richImgLnk"')

    def page(self, asked: Asked) -> Answer | None:
        if asked.path != "/images/async":
            return None
        if "Mozilla" not in asked.headers.get("user-agent", "") or "referer" not in asked.headers:
            return Answer.text(SHELL)
        first, words = int(asked.query.get("first", 1)), asked.query.get("q", "")
        shown = _with_repeats(self.entries(words))[first - 1 : first - 1 + PAGE_SIZE]
        page = Answer.text(FRAME.format(escape(words), first + PAGE_SIZE, "".join(self.records(shown))))
        return page if first <= REACH else self.scold(asked, page)

    def limited(self, asked: Asked) -> Answer:
        return Answer.text(SHELL)

    def record(self, entry: Entry) -> str:
        about = {
            "sid": "",
            "cturl": "",
            "cid": f"c{entry.id}",
            "purl": f"{self.url}/pages/{entry.id}",
            "murl": self.address(entry),
            "turl": f"{self.url}/th?id=OIP.{entry.id}&pid=15.1",
            "md5": entry.id.replace("-", ""),
            "shkey": "",
            "t": f"{entry.title} of \ue000{entry.keyword}\ue001",
            "mid": entry.id.replace("-", "").upper(),
            "desc": "",
        }
        size = f"{entry.width or 1200} x {entry.height or 900} · jpeg"
        return (
            f'<li data-idx="1"><div class="iuscp"><div class="imgpt"><a class="iusc" m="{escape(json.dumps(about))}" '
            f'href="/images/search?view=detailV2"><img alt=""></a><div class="img_info"><span class="nowrap">{size}'
            f'</span></div></div><div class="lnkw"><a href="#">127.0.0.1</a></div></div></li>'
        )

    def spoiled(self, record: Any) -> str:
        return str(record).replace(escape('"murl":'), escape('"murl"'))


def _with_repeats(entries: list[Entry]) -> list[Entry]:
    """Every other page begins with the last picture of the page before."""
    shown: list[Entry] = []
    for entry in entries:
        if len(shown) % (2 * PAGE_SIZE) == PAGE_SIZE:
            shown.append(shown[-1])
        shown.append(entry)
    return shown
