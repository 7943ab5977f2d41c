"""A site's feed: RSS with Media RSS, and Atom for what is older."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

from pixcrawler.demo.catalogue import Entry
from pixcrawler.demo.replicas import Answer, Asked, Replica

PAGE_SIZE = 30
PLACE = "/feed/"
EMBEDDED = '<p><img src="{}"> A few words.</p>'
MEDIA = 'xmlns:media="http://search.yahoo.com/mrss/"'
LICENCES = 'xmlns:creativeCommons="http://cyber.law.harvard.edu/rss/creativeCommonsRssModule.html"'
RSS = f"""<?xml version="1.0" encoding="utf-8"?>
<rss version="2.0" {MEDIA} {LICENCES} xmlns:atom="http://www.w3.org/2005/Atom">
<channel><title>Photos</title><link>https://www.example.org/</link>{{link}}
{{entries}}
</channel></rss>
"""
ATOM = f"""<?xml version="1.0" encoding="utf-8"?>
<feed xmlns="http://www.w3.org/2005/Atom" {MEDIA}><title>Photos</title><id>tag:example.org,2026:/feed</id>{{link}}
{{entries}}
</feed>
"""


class Feed(Replica):
    """The newest entries as RSS, older ones as Atom. A picture comes in several forms, as enclosure, or in a text."""

    source = "feed"
    redesign = ("<rss", "<!DOCTYPE html><html><body>We have moved.</body></html><!--")

    def arguments(self, keyword: str) -> dict[str, str]:
        return {"url": f"{self.url}{PLACE}{quote(keyword)}", "keywords": keyword}

    def page(self, asked: Asked) -> Answer | None:
        if not asked.path.startswith(PLACE):
            return None
        entries = self.entries(asked.path.removeprefix(PLACE))
        number = int(asked.query.get("page", 1))
        begin = (number - 1) * PAGE_SIZE
        written = "\n".join(self.records(entries[begin : begin + PAGE_SIZE]))
        form, kind, tag = (RSS, "rss", "atom:link") if number == 1 else (ATOM, "atom", "link")
        link = f'<{tag} rel="next" href="{self.url}{quote(asked.path)}?page={number + 1}"/>'
        page = form.format(link=link if begin + PAGE_SIZE < len(entries) else "", entries=written)
        return Answer.text(page, f"application/{kind}+xml")

    def record(self, entry: Entry) -> str:
        number = self._number(entry)
        if number >= PAGE_SIZE:
            return self._as_atom(entry)
        shown = (self._in_forms, self._enclosed, self._in_text)[number % 3](entry)
        return (
            f"<item><title>{escape(entry.title)}</title><link>{self.url}/pages/{entry.id}</link>{shown}"
            f"<creativeCommons:license>{entry.license.url}</creativeCommons:license></item>"
        )

    def _in_forms(self, entry: Entry) -> str:
        credit = f'<media:credit role="photographer">{escape(entry.creator)}</media:credit>' if entry.creator else ""
        return (
            f'<media:group><media:content url="{self.url}/thumbs{entry.path}" medium="image" width="320" height="240"/>'
            f'<media:content url="{self.address(entry)}" medium="image" width="1600" height="1200"/></media:group>'
            f"{credit}"
        )

    def _enclosed(self, entry: Entry) -> str:
        return f'<enclosure url="{self.address(entry)}" type="image/jpeg" length="1"/>'

    def _in_text(self, entry: Entry) -> str:
        return f"<description>{escape(EMBEDDED.format(entry.path))}</description>"

    def _as_atom(self, entry: Entry) -> str:
        author = f"<author><name>{escape(entry.creator)}</name></author>" if entry.creator else ""
        return (
            f"<entry><title>{escape(entry.title)}</title><id>tag:example.org,2026:{entry.id}</id>{author}"
            f'<link rel="alternate" href="{self.url}/pages/{entry.id}"/>'
            f'<link rel="license" href="{entry.license.url}"/>'
            f'<link rel="enclosure" type="image/jpeg" href="{self.address(entry)}"/></entry>'
        )

    def spoiled(self, record: Any) -> str:
        return "<item><title>Nothing to see</title></item>" if record.startswith("<item>") else "<entry/>"
