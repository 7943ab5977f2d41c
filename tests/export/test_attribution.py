"""Each licence asks for something else, and the line of a picture has it."""

from __future__ import annotations

from typing import Any

import pytest

from pixcrawler.export.attribution import credit
from pixcrawler.export.dataset import DatasetImage
from pixcrawler.export.texts import metadata

CC = "https://creativecommons.org"
SAID = {
    "title": "Red panda",
    "creator": "Ann",
    "creator_url": "https://people.example/ann",
    "page_url": "https://pages.example/1",
}
MADE = "“Red panda” by Ann (<https://people.example/ann>), found with openverse on <https://pages.example/1>, "


@pytest.mark.parametrize(
    ("id_", "line"),
    [
        ("CC-BY-2.0", f"CC BY 2.0 (<{CC}/licenses/by/2.0/>): name its maker"),
        (
            "CC-BY-SA-3.0-DE",
            f"CC BY-SA 3.0 DE (<{CC}/licenses/by-sa/3.0/de/>): name its maker, changed copies under the same licence",
        ),
        (
            "CC-BY-NC-ND-4.0",
            f"CC BY-NC-ND 4.0 (<{CC}/licenses/by-nc-nd/4.0/>): name its maker, not for commercial use,"
            " no changed copies",
        ),
        ("CC0-1.0", f"CC0 1.0 (<{CC}/publicdomain/zero/1.0/>): naming its maker is a courtesy"),
        ("PDM-1.0", f"Public Domain Mark 1.0 (<{CC}/publicdomain/mark/1.0/>): naming its maker is a courtesy"),
        ("Unsplash", "Unsplash License (<https://unsplash.com/license>): naming its maker is a courtesy"),
        (
            "InC-NC-1.0",
            "In copyright, non-commercial use only (<http://rightsstatements.org/vocab/InC-NC/1.0/>):"
            " not for commercial use, no changed copies",
        ),
    ],
)
def test_title_author_source_licence(make: Any, id_: str, line: str) -> None:
    image = make.entry(1, b"", license="as stated", license_url="https://l.example", license_id=id_, **SAID)
    assert credit(image) == MADE + line


@pytest.mark.parametrize(
    ("said", "url", "line"),
    [
        ("", "", "licence unknown: find out before you use it"),
        ("free, ask *Ann*", "", "licence unknown, stated as “free, ask \\*Ann\\*”: find out before you use it"),
        ("", "https://l.example/terms", "licence unknown (<https://l.example/terms>): find out before you use it"),
        ("", "javascript:alert(1)", "licence unknown (javascript:alert(1)): find out before you use it"),
    ],
)
def test_an_unknown_licence_is_called_so(make: Any, said: str, url: str, line: str) -> None:
    image = make.entry(1, b"", license=said, license_url=url, license_id="", **SAID)
    assert credit(image) == MADE + line


def test_what_is_reserved_is_called_so(make: Any) -> None:
    image = make.entry(1, b"", license="©", license_url="", license_id="All-Rights-Reserved", **SAID)
    assert credit(image) == MADE + "All rights reserved: not free to use"


def test_a_licence_without_a_version_has_the_sources_link(make: Any) -> None:
    image = make.entry(1, b"", license="by", license_url="https://l.example", license_id="CC-BY", **SAID)
    assert credit(image) == MADE + "CC BY (<https://l.example>): name its maker"


def test_the_statement_a_source_asks_for_is_kept(make: Any) -> None:
    image = make.entry(1, b"", license_id="CC0-1.0", attribution="Marked with CC0.", **SAID)
    assert credit(image).endswith("courtesy. Marked with CC0.")


def test_metadata_has_our_id_beside_the_sources_words(make: Any) -> None:
    line = metadata("x/1.jpg", make.entry(1, b"", license="by 4.0", license_id="CC-BY-4.0"))
    assert (line["license_id"], line["license"]) == ("CC-BY-4.0", "by 4.0")


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"license_id": "CC-BY-4.0", "license": "by-nc 4.0"}, "CC-BY-4.0"),  # what was decided then
        ({"license_id": None, "license": "by 4.0"}, ""),
        ({"license": "by", "license_url": f"{CC}/licenses/by/4.0/"}, "CC-BY-4.0"),  # kept before there were ids
        ({"license": "free"}, ""),
        ({}, ""),
    ],
)
def test_rows_with_and_without_an_id(facts: dict[str, Any], expected: str) -> None:
    given = {"position": 1, "keyword": "otter", "source": "openverse", "sha256": "ab" * 32, "storage_key": "k"}
    row = {"original_url": "u", "filename": "otter/1.jpg", "width": 1, "height": 1, "format": "jpeg"}
    assert DatasetImage.from_row(row | {"metadata": given | facts}).license_id == expected
