"""DuckDuckGo's image search as a browser meets it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote
from zlib import crc32

import brotli

from pixcrawler.demo.catalogue import Entry
from pixcrawler.demo.replicas import Answer, Asked, Replica

PAGE_SIZE = 100
REACH = 500  # results
SLOTS = 6  # of the filter
FETCHED = {"sec-fetch-dest": "empty", "sec-fetch-mode": "cors", "sec-fetch-site": "same-origin"}
SORRY = "If this error persists, please let us know: ops@duckduckgo.com"
CHALLENGE = '<form id="challenge-form" action="/anomaly.js?sv=html">Unfortunately, bots use DuckDuckGo too.</form>'
PAGE = """<!DOCTYPE html>
<html lang="en-US"><head><title>{words} at DuckDuckGo</title></head><body class="body--serp">
<script type="text/javascript">vqd="{token}";DDG.duckbar.load('images');</script></body></html>"""


class DuckDuckGo(Replica):
    """A page with a token, which is good for its words, agent and cookie alone; then 100 results at a time."""

    source = "duckduckgo"
    redesign = ('"results"', '"hits"')

    def page(self, asked: Asked) -> Answer | None:
        words = asked.query.get("q", "")
        if asked.path == "/":
            visitor = str(len(self.asked))
            page = PAGE.format(words=words, token=_token(words, asked, visitor))
            return Answer.text(page, Set_Cookie=f"visitor={visitor}; Path=/")
        if asked.path != "/i.js":
            return None
        if not self._is_in_order(asked, words):
            return Answer.text(SORRY, "text/plain", 403)
        passed = int(asked.query.get("s", 0))
        if passed >= REACH:
            return self.scold(asked, Answer.text(SORRY, "text/plain", 403))
        return self._packed(Answer.json(self._results(words, passed, asked.query)), asked)

    def limited(self, asked: Asked) -> Answer:
        return Answer.text(CHALLENGE, status=202)

    def _is_in_order(self, asked: Asked, words: str) -> bool:
        token = _token(words, asked, asked.cookies.get("visitor", ""))
        slots = asked.query.get("f", "").split(",")
        sent = FETCHED | {"referer": f"{self.url}/"}
        same = all(asked.headers.get(name) == text for name, text in sent.items())
        return same and asked.query.get("vqd") == token and len(slots) == SLOTS

    def _results(self, words: str, passed: int, asked: dict[str, str]) -> dict[str, Any]:
        entries = self.entries(words)
        following = passed + PAGE_SIZE
        more = {"next": f"i.js?q={quote(words)}&o=json&p={asked.get('p', 1)}&s={following}&u=bing&f=,,,&l=us-en"}
        return {
            "ads": None,
            **(more if following < len(entries) else {}),
            "query": words,
            "queryEncoded": quote(words),
            "response_type": "images",
            "results": self.records(entries[passed:following]),
            "vqd": {quote(words): asked["vqd"]},
        }

    def _packed(self, answer: Answer, asked: Asked) -> Answer:
        if "br" not in asked.headers.get("accept-encoding", "") or self.mutations:  # these are made to plain text
            return answer
        return Answer(brotli.compress(answer.body), headers={**answer.headers, "Content-Encoding": "br"})

    def record(self, entry: Entry) -> dict[str, Any]:
        return {
            "height": entry.height or 900,
            "width": entry.width or 1200,
            "image": self.address(entry),
            "image_token": f"{crc32(entry.id.encode()):064x}",
            "source": "Bing",
            "thumbnail": f"{self.url}/th/id/OIP.{entry.id}?pid=Api",
            "thumbnail_token": f"{crc32(entry.path.encode()):064x}",
            "title": f"{entry.title} &amp; more",
            "url": f"{self.url}/pages/{entry.id}",
        }


def _token(words: str, asked: Asked, visitor: str) -> str:
    bound_to = f"{words}|{asked.headers.get('user-agent')}|{visitor}"
    return f"4-{crc32(bound_to.encode()):039d}"
