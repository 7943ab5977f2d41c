"""A gallery of the web: pages of pictures, each shown in another way."""

from __future__ import annotations

import json
from collections.abc import Callable
from html import escape
from typing import Any

from pixcrawler.demo.catalogue import Entry
from pixcrawler.demo.replicas import Answer, Asked, Replica

PAGE_SIZE = 24
GALLERY = "/gallery/"
FRAME = """<!DOCTYPE html>
<html lang="en"><head><title>{title}</title>{head}</head>
<body><main>
<h1>{title}</h1>
{figures}
</main></body></html>
"""


class Page(Replica):
    """Its pictures are shown at once, later, in several sizes, or behind a link; some of it is known as JSON-LD."""

    source = "page"
    redesign = ("<main>", '<div id="app"></div><script src="/app.js"></script><!--')

    def arguments(self, keyword: str) -> dict[str, str]:
        return {"url": f"{self.url}{GALLERY}{keyword}".replace(" ", "%20"), "keywords": keyword}

    def page(self, asked: Asked) -> Answer | None:
        if not asked.path.startswith(GALLERY):
            return None
        entries = self.entries(asked.path.removeprefix(GALLERY))
        number = int(asked.query.get("page", 1))
        begin = (number - 1) * PAGE_SIZE
        shown = entries[begin : begin + PAGE_SIZE]
        head = f'<link rel="next" href="?page={number + 1}">' if begin + PAGE_SIZE < len(entries) else ""
        if shown:
            head += f'<meta property="og:image" content="{self.address(shown[0])}">'
        stated = [self._stated(entry) for entry in shown[::3] if self._number(entry) not in self.broken]
        figures = "\n".join([*self.records(shown), *stated]) or "<p>Nothing here yet.</p>"
        return Answer.text(FRAME.format(title="A gallery", head=head, figures=figures))

    def record(self, entry: Entry) -> str:
        way = WAYS[self._number(entry) % len(WAYS)]
        shown = way(entry.path, f"/thumbs{entry.path}", escape(entry.title))
        licence = f'<a rel="license" href="{entry.license.url}">{entry.license.slug}</a>'
        return f"<figure>{shown}<figcaption>{licence}</figcaption></figure>"

    def _stated(self, entry: Entry) -> str:
        about = {
            "@context": "https://schema.org/",
            "@type": "ImageObject",
            "contentUrl": self.address(entry),
            "license": entry.license.url,
            "acquireLicensePage": f"{self.url}/licences",
            "creator": {"@type": "Person", "name": entry.creator},
        }
        return f'<script type="application/ld+json">{json.dumps(about)}</script>'

    def spoiled(self, record: Any) -> str:
        return '<figure><img alt="A picture that is not there" src="http://[::1/"></figure>'


WAYS: tuple[Callable[[str, str, str], str], ...] = (
    lambda whole, thumb, title: f'<img src="{whole}" alt="{title}">',
    lambda whole, thumb, title: f'<img src="{thumb}" srcset="{thumb} 320w, {whole} 1600w" alt="{title}">',
    lambda whole, thumb, title: f'<a href="{whole}"><img src="{thumb}" alt="{title}"></a>',
    lambda whole, thumb, title: (
        f'<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=" data-src="{whole}" alt="{title}">'
    ),
    lambda whole, thumb, title: (
        f'<picture><source type="image/avif" srcset="{thumb}.avif 3200w"><source srcset="{whole} 2x"></picture>'
        f'<picture><source srcset="{thumb} 1x, {whole} 2x"><img src="{thumb}" alt="{title}"></picture>'
    ),
)
