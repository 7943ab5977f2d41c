"""The sitemaps of a web site with pictures."""

from __future__ import annotations

from gzip import compress
from typing import Any
from xml.sax.saxutils import escape

from pixcrawler.demo.catalogue import Entry
from pixcrawler.demo.replicas import Answer, Asked, Replica

SIZE = 40  # pages of a sitemap
XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
NAMESPACE = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
IMAGES = 'xmlns:image="http://www.google.com/schemas/sitemap-image/1.1"'


class Sitemap(Replica):
    """An index of sitemaps, every other one packed; each page of the site has a picture."""

    source = "sitemap"
    redesign = ("sitemapindex", "siteindex")

    def arguments(self, keyword: str) -> dict[str, str]:
        return {"url": f"{self.url}/{keyword}/sitemap.xml".replace(" ", "%20"), "keywords": keyword}

    def page(self, asked: Asked) -> Answer | None:
        keyword, _, name = asked.path.removeprefix("/").partition("/")
        entries = self.entries(keyword)
        if name == "sitemap.xml":
            return Answer.text(self._index(keyword, len(entries)), "application/xml")
        number = name.removeprefix("sitemap-").partition(".")[0]
        if not number.isdecimal():
            return None
        begin = int(number) * SIZE
        urls = "\n".join(self.records(entries[begin : begin + SIZE]))
        content = f"{XML}<urlset {NAMESPACE} {IMAGES}>\n{urls}\n</urlset>\n"
        if name.endswith(".gz"):
            return Answer(compress(content.encode()), headers={"Content-Type": "application/x-gzip"})
        return Answer.text(content, "application/xml")

    def _index(self, keyword: str, total: int) -> str:
        numbers = range(-(-total // SIZE))
        names = [f"sitemap-{number}.xml{'.gz' if number % 2 else ''}" for number in numbers]
        place = f"{self.url}/{keyword}".replace(" ", "%20")
        named = "\n".join(f"<sitemap><loc>{place}/{name}</loc></sitemap>" for name in names)
        return f"{XML}<sitemapindex {NAMESPACE}>\n{named}\n</sitemapindex>\n"

    def record(self, entry: Entry) -> str:
        return (
            f"<url><loc>{self.url}/pages/{entry.id}</loc><image:image><image:loc>{self.address(entry)}</image:loc>"
            f"<image:title>{escape(entry.title)}</image:title><image:license>{entry.license.url}</image:license>"
            "</image:image></url>"
        )

    def spoiled(self, record: Any) -> str:
        return f"<url><loc>{self.url}/pages/lost</loc><image:image><image:loc> </image:loc></image:image></url>"
