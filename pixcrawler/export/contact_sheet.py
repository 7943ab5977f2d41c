"""index.html of a dataset: its pictures at a glance, to be filtered and looked at with what is known of them.

One file that asks the network for nothing. The first page is plain HTML; a script finds the facts of all pictures
beside it, a line of JSON each. Texts of strangers are never markup, and a policy lets nothing run but that script.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterable, Mapping
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from pixcrawler.export.attribution import conditions
from pixcrawler.export.dataset import Dataset, DatasetImage
from pixcrawler.export.files import as_json, create
from pixcrawler.export.markdown import one_line
from pixcrawler.jobs import KEPT
from pixcrawler.rights import normalise

INDEX = "index.html"
PAGE = 500  # pictures; the script's pages are as long
SLIVER = 0.004  # of the chart's width: the least that is seen
CUT = "<!-- cut -->\n"  # in the template: here come tiles, and here come lines of JSON


class ContactSheet:
    """Writes the file as pictures come. No more than the first page is in memory."""

    def __init__(self, path: Path, dataset: Dataset, pictures: int) -> None:
        self._keywords = {keyword: number for number, keyword in enumerate(dict.fromkeys(dataset.keywords))}
        self._sources: dict[str, int] = {}
        self._licences: dict[str, int] = {}  # by id
        self._first_page: list[str] | None = []  # lines that wait for the last tile; None: they are written
        head, self._middle, self._end = _template("html").split(CUT)
        self._file = create(path)
        self._file.write(Template(head).substitute(_head(dataset, pictures)))

    def add(self, name: str, image: DatasetImage) -> None:
        """Shows a picture that lies at `name` beside the file."""
        line = _inert(as_json(self._facts(name, image))) + "\n"
        if self._first_page is None:
            self._file.write(line)
            return
        self._file.write(_tile(name, image))
        self._first_page.append(line)
        if len(self._first_page) == PAGE:
            self._end_first_page()

    def _facts(self, name: str, image: DatasetImage) -> dict[str, str | int]:
        return {
            "name": name,
            "keyword": self._keywords[image.keyword],
            "source": self._sources.setdefault(image.source, len(self._sources)),
            "licence": self._licences.setdefault(image.license_id, len(self._licences)),
            "width": image.width,
            "height": image.height,
            "sha256": image.sha256,
            **{field: one_line(getattr(image, field)) for field in SAID},
        }

    def _end_first_page(self) -> None:
        self._file.write(self._middle)
        self._file.writelines(self._first_page or ())
        self._first_page = None

    def _finish(self) -> None:
        if self._first_page is not None:
            self._end_first_page()
        tables = {
            "keywords": [one_line(keyword) for keyword in self._keywords],
            "sources": [one_line(source) for source in self._sources],
            "licences": [_licence(id_) for id_ in self._licences],
        }
        self._file.write(Template(self._end).substitute(tables=_inert(as_json(tables)), script=_template("js")))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if kind is None:
                self._finish()


SAID = ("title", "creator", "creator_url", "page_url", "original_url", "license", "license_url", "attribution")


def _head(dataset: Dataset, pictures: int) -> dict[str, str | int]:
    shown = min(pictures, PAGE)
    return {
        "policy": _policy(),
        "style": _template("css"),
        "name": _text(dataset.name or f"Dataset of job {dataset.job}"),
        "outcome": _text(dataset.outcome),
        "pictures": f"{pictures:,}",
        "asked": f"{dataset.asked:,}",
        "found": f"{dataset.funnel.found:,}",
        "keywords": f"{len(dataset.keywords):,}",
        "funnel": "".join(_bars(dataset.funnel.kept, dataset.funnel.reasons)),
        "shown": f"The first {shown} of {pictures:,} pictures" if shown < pictures else f"{shown} pictures",
    }


def _policy() -> str:
    """Lets the page load pictures beside it, and run and look as it was written; nothing else."""
    return (
        "default-src 'none'; img-src 'self' file: data:; "
        f"style-src '{_digest(_template('css'))}'; script-src '{_digest(_template('js'))}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return "sha256-" + b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _bars(kept: int, reasons: Mapping[str, int]) -> Iterable[str]:
    found = kept + sum(reasons.values())
    for name, images in {KEPT: kept, **reasons}.items():
        width = f"{max(images / found, SLIVER):.2%}"
        yield (
            f'<tr class="{"kept" if name == KEPT else "not"}"><th scope="row">{_text(name.replace("_", " "))}</th>'
            f'<td><svg aria-hidden="true"><rect width="{width}" height="100%" rx="2"/></svg></td>'
            f"<td>{images:,}</td></tr>\n"
        )


def _tile(name: str, image: DatasetImage) -> str:
    title, address = _text(image.title), quote(name)
    by = " · ".join(filter(None, (_licence(image.license_id)["name"], one_line(image.creator))))
    return (
        f'<li><a href="{address}"><img src="{address}" alt="{title or _text(f"{image.keyword}, untitled")}"'
        f' width="{image.width}" height="{image.height}" loading="lazy" decoding="async"></a>'
        f'<p class="title" dir="auto">{title or "untitled"}</p><p class="by" dir="auto">{_text(by)}</p></li>\n'
    )


def _licence(license_id: str) -> dict[str, Any]:
    licence = normalise(license_id)
    name, url = (licence.name, licence.url or "") if licence else ("unknown licence", "")
    return {"name": name, "url": url, "asks": conditions(licence)}


def _text(text: str) -> str:
    """The text as HTML shows it, in markup and in attributes."""
    return escape(one_line(text))


def _inert(json: str) -> str:
    """The same JSON, without what could end the element it stands in."""
    return json.replace("<", "\\u003c")


def _template(kind: str) -> str:
    return files(__package__).joinpath(f"contact_sheet.{kind}").read_text(encoding="utf-8")
