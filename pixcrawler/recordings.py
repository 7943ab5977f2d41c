"""Recordings: what a source was asked, what it answered, and what was understood. Tests replay them.

`<source>/<case>/` holds request.json (arguments, keyword, cursor and the request they lead to; `lookup` is what a
look-up knows, in place of the cursor), response.json with its body (none where nothing is fetched), the list if there
is one, and expected.json: items, cursor and spent, or the error.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from scrapy.http import Request, Response

from pixcrawler.config import config
from pixcrawler.crawling import ASKED, LOCAL
from pixcrawler.errors import PixCrawlerError, SourceSaysLater
from pixcrawler.items import ImageItem, url_key
from pixcrawler.opt_outs import JUDGED
from pixcrawler.probing import Look

UNREVIEWED = "unreviewed"
NOT_KEPT = frozenset({"set-cookie", "date", "server", "age", "via", "report-to", "nel"})  # of a moment, or of a person
ENDINGS = {"json": "json", "html": "html", "xml": "xml", "javascript": "json", "plain": "txt"}
OWN = frozenset({ASKED, JUDGED, "dont_retry"})  # in a request's meta; the rest a source has put there


def asked(request: Request) -> dict[str, Any]:
    """A request as request.json has it."""
    headers = {
        str(name): str(value).replace(config().user_agent, "PixCrawler")  # whatever the version
        for name, value in request.headers.to_unicode_dict().items()
    }
    question = {"method": request.method, "url": request.url, "headers": headers}
    return {**question, "body": request.body.decode()} if request.body else question


def looked_up(request: Request) -> dict[str, Any]:
    """A page's look-up as expected.json has it: the request, and what it knows already."""
    known = {name: value for name, value in request.meta.items() if name not in OWN}
    return {"url": request.url} | ({"lookup": known} if known else {})


def facts(item: ImageItem) -> dict[str, Any]:
    """An item as expected.json has it: only a source's own way to tell pictures apart is worth a line."""
    found = item.facts()
    if found["key"] == url_key(item.url):
        del found["key"]
    return found


def refused(error: PixCrawlerError) -> dict[str, Any]:
    """An error as expected.json has it."""
    if isinstance(error, SourceSaysLater):
        return {"error": "SourceSaysLater", "message": error.message, "seconds": error.seconds}
    return {"error": type(error).__name__, "message": str(error)}


def understood(look: Look) -> dict[str, Any]:
    """What expected.json says."""
    if look.error:
        return refused(look.error)
    items = {"items": [facts(item) for item in look.items]}
    if look.page is None:
        return items
    lookups = [looked_up(request) for request in look.page.lookups]
    return {"cursor": look.page.cursor, "spent": look.page.spent, **items} | ({"lookups": lookups} if lookups else {})


def write(folder: Path, arguments: dict[str, str], look: Look) -> None:
    """Writes a recording that waits for somebody to read it."""
    assert look.response is not None
    place = {"lookup": looked_up(look.request).get("lookup", {})} if look.is_lookup else {"cursor": look.cursor}
    folder.mkdir(parents=True)
    given = arguments | ({"list": _copy(Path(arguments["list"]), folder)} if "list" in arguments else {})
    _write(folder / "request.json", {"arguments": given, "keyword": look.keyword, **place, **asked(look.request)})
    _write(folder / "expected.json", {UNREVIEWED: True, **understood(look)})
    if LOCAL not in look.request.meta:
        _write_answer(folder, look.response)


def _copy(file: Path, folder: Path) -> str:
    shutil.copy(file, folder)
    return file.name


def _write_answer(folder: Path, response: Response) -> None:
    body = f"body.{_ending(response)}"
    headers = {
        name: value for name, value in response.headers.to_unicode_dict().items() if name.lower() not in NOT_KEPT
    }
    _write(folder / "response.json", {"status": response.status, "headers": headers, "body": body})
    (folder / body).write_bytes(response.body)


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _ending(response: Response) -> str:
    kind = (response.headers.get("Content-Type") or b"").decode("latin-1")
    return next((ending for word, ending in ENDINGS.items() if word in kind), "bin")
