"""ATTRIBUTION.md of a dataset: who made each picture, and what its licence asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pixcrawler.export.dataset import Dataset, DatasetImage
from pixcrawler.export.files import create
from pixcrawler.export.markdown import escaped, link
from pixcrawler.rights import Licence, normalise

ATTRIBUTION = "ATTRIBUTION.md"

PREAMBLE = """What the sources say about each picture: title, maker, source, licence. Check it before you publish one.
Most licences ask that its line goes with it, and that you say so if you have changed it. """
UNCHANGED = "Here all are unchanged.\n"
CHANGED = """Here some are changed: they
have another size, format or metadata, where `sha256` and `original_sha256` differ. See README.md.
"""


class Attribution:
    """Writes the file: a line per picture."""

    def __init__(self, path: Path, dataset: Dataset, *, rewritten: bool) -> None:
        preamble = PREAMBLE + (CHANGED if rewritten else UNCHANGED)
        self._file = create(path)
        self._file.write(f"# {escaped(dataset.name) or 'Dataset'}: who made the pictures\n\n{preamble}\n")

    def add(self, name: str, image: DatasetImage) -> None:
        """Credits a picture that lies at `name` in the dataset."""
        self._file.write(f"- `{name}`: {credit(image)}\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._file.close()


def credit(image: DatasetImage) -> str:
    """One line of Markdown: title, maker, source, licence and what it asks, and the statement the source asks for."""
    made = f"“{escaped(image.title) or 'untitled'}” by {escaped(image.creator) or 'an unknown maker'}"
    parts = [
        made + (f" ({link(image.creator_url)})" if image.creator_url else ""),
        f"found with {escaped(image.source)}" + (f" on {link(image.page_url)}" if image.page_url else ""),
        _licence(image),
    ]
    return ", ".join(parts) + (f". {escaped(image.attribution)}" if image.attribution else "")


def _licence(image: DatasetImage) -> str:
    licence = normalise(image.license_id)
    if licence:
        name, url = licence.name, licence.url or image.license_url
    else:
        said = escaped(image.license)
        name, url = "licence unknown" + (f", stated as “{said}”" if said else ""), image.license_url
    return name + (f" ({link(url)})" if url else "") + f": {conditions(licence)}"


def conditions(licence: Licence | None) -> str:
    """What it takes to use a picture under this licence, in a few words."""
    if licence is None:
        return "find out before you use it"
    if licence.reserved:
        return "not free to use"
    asked = {
        "name its maker": licence.attribution,
        "naming its maker is a courtesy": licence.commercial and not licence.attribution,
        "not for commercial use": not licence.commercial,
        "no changed copies": not licence.derivatives,
        "changed copies under the same licence": licence.share_alike,
    }
    return ", ".join(words for words, applies in asked.items() if applies)
