"""Google Images as a browser meets it, and as everybody else does."""

from __future__ import annotations

import json
from html import escape
from typing import Any
from urllib.parse import parse_qsl, urlencode

from pixcrawler.demo.catalogue import Entry
from pixcrawler.demo.replicas import Answer, Asked, Replica

FIRST = 40  # pictures on the page itself
CHUNK = 30  # in each piece that its script fetches
MOST = 1100  # are shown, however many there are
CONSENT = "SOCS"  # the cookie that tells that consent was asked for

SHELL = """<!DOCTYPE html><html lang="en"><head><title>Google Search</title>
<noscript><meta content="0;url=/httpservice/retry/enablejs?sei=q7" http-equiv="refresh"></noscript></head>
<body><script>window.google={emsg:"SG_REL"}</script></body></html>"""

PAGE = """<!DOCTYPE html><html lang="en"><head><title>{title} - Google Search</title>
<noscript><meta content="0;url=/httpservice/retry/enablejs?sei=q7" http-equiv="refresh"></noscript>
<style>#rso{{display:grid;grid-template-columns:repeat(4,1fr)}} .ivg-i{{height:260px;font-family:"Tile"}}
@font-face{{font-family:"Tile";src:url("/fonts/tile.woff2")}}</style></head>
<body><div id="center_col"><div id="rso">{tiles}</div>{nothing}</div>
<script nonce="k">window.W_jd={records};</script>
<script nonce="k">{script}</script></body></html>"""

NOTHING = "<p>Your search did not match any image results.</p>"

SCRIPT = """
let shown = document.querySelectorAll("[data-docid]").length, busy = false, over = !shown
const far = () => window.scrollY + window.innerHeight < document.documentElement.scrollHeight - 600
async function more() {
  if (busy || over || far()) return
  busy = true
  const asked = new URLSearchParams(location.search)
  asked.set("start", shown)
  asked.set("async", "_fmt:pc,_id:rso")
  const request = new XMLHttpRequest()
  request.onload = () => {
    const [tiles, state] = JSON.parse(request.responseText.split("\\n").slice(1).join("\\n"))
    const before = document.querySelectorAll("[data-docid]").length
    document.getElementById("rso").insertAdjacentHTML("beforeend", tiles)
    Object.assign(window.W_jd, JSON.parse(state))
    shown = document.querySelectorAll("[data-docid]").length
    over = shown === before
    busy = false
    more()
  }
  request.open("GET", "/search?" + asked)
  request.send()
}
addEventListener("scroll", more)
"""

FORM = """<form action="{action}" method="POST"><input type="hidden" name="bl" value="boq_q7">
<input type="hidden" name="continue" value="{target}"><input type="hidden" name="set_eom" value="{reject}">
<input type="submit" value="{label}"></form>"""

SORRY = """<html><head><title>{title}</title></head><body><form id="captcha-form" action="index" method="post"></form>
Our systems have detected unusual traffic from your computer network.</body></html>"""


class Google(Replica):
    """Search by scripts alone; consent first; for machines a test that they do not pass."""

    source = "google"
    redesign = ("encrypted-tbn", "thumbnail")

    def page(self, asked: Asked) -> Answer | None:
        match asked.path:
            case "/search" if "Chrome/" not in asked.headers.get("user-agent", ""):
                return Answer.text(SHELL)
            case "/search" if CONSENT not in asked.cookies:
                return self._away(f"/consent?{urlencode({'continue': f'/search?{urlencode(asked.query)}'})}")
            case "/search":
                return self._search(asked)
            case "/consent":
                return self._consent(asked.query["continue"])
            case "/save":
                return self._save(asked)
            case "/sorry/index":
                return Answer.text(SORRY.format(title=escape(asked.query["continue"])), status=429)
        return None

    def limited(self, asked: Asked) -> Answer:
        return self._away(f"/sorry/index?{urlencode({'continue': asked.path, 'q': 'EgTAAAB'})}")

    def _away(self, path: str, **headers: str) -> Answer:
        return Answer(status=302, headers={"Location": self.url + path, **headers})

    def _consent(self, target: str) -> Answer:
        forms = (("true", "Reject all"), ("false", "Accept all"))
        shown = [
            FORM.format(action=f"{self.url}/save", target=escape(target), reject=reject, label=label)
            for reject, label in forms
        ]
        return Answer.text(f"<html><head><title>Before you continue</title></head><body>{''.join(shown)}</body></html>")

    def _save(self, asked: Asked) -> Answer:
        form = dict(parse_qsl(asked.body.decode()))
        answer = self._away(form["continue"], **{"Set-Cookie": f"{CONSENT}=CAESAg; Path=/"})
        return answer if form["set_eom"] == "true" else self.scold(asked, answer)

    def _search(self, asked: Asked) -> Answer:
        entries = self.entries(asked.query.get("q", ""))[:MOST]
        if "async" in asked.query:
            start = int(asked.query["start"])
            return self._chunk(entries[start : start + CHUNK])
        page = PAGE.format(
            title=escape(asked.query.get("q", "")),
            tiles=self._tiles(entries[:FIRST]),
            nothing="" if entries else NOTHING,
            records=self._state(entries[:FIRST]),
            script=SCRIPT,
        )
        return Answer.text(page)

    def _chunk(self, entries: list[Entry]) -> Answer:
        content = json.dumps([self._tiles(entries), self._state(entries)]).replace("/", "\\/")
        return Answer.text(f")]}}'\n{content}", "application/json; charset=utf-8")

    def _tiles(self, entries: list[Entry]) -> str:
        return "".join(
            f'<div id="e-{docid(one)}" class="eA0Zlc ivg-i" data-docid="{docid(one)}" data-lpage="{self.landing(one)}">'
            f'<img class="YQ4gaf" alt="{escape(one.title)}" src="/images?q=tbn:{docid(one)}"></div>'
            for one in entries
        )

    def _state(self, entries: list[Entry]) -> str:
        """The records as they are in a script of a page: JSON without characters that mean something in HTML."""
        records = zip(entries, self.records(entries), strict=True)
        state = {f"k{self._number(one)}": [None, [1, record]] for one, record in records}
        text = json.dumps(state, separators=(",", ":"))
        return text.replace("=", "\\u003d").replace("&", "\\u0026").replace("<", "\\u003c")

    def record(self, entry: Entry) -> list[Any]:
        thumbnail = [f"https://encrypted-tbn0.gstatic.com/images?q=tbn:{docid(entry)}&s", 183, 275]
        original = [self.address(entry), entry.height or 900, entry.width or 1200]
        about = [None, f"r{docid(entry)}", self.landing(entry), entry.title, None, 0, None, None, None, 0]
        more = {"2000": [None, "127.0.0.1", "412KB"], "2003": about}
        return [0, docid(entry), thumbnail, original, None, 0, "rgb(90,72,40)", None, 0, more]

    def spoiled(self, record: Any) -> Any:
        """Without the address of the picture."""
        return [*record[:3], None, *record[4:]]

    def landing(self, entry: Entry) -> str:
        return f"{self.url}/pages/{entry.id}.html"


def docid(entry: Entry) -> str:
    return f"{entry.id:x>14}"
