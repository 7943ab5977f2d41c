"""What an address is recognised by."""

from __future__ import annotations

import pytest

from pixcrawler.items import url_key

SQUIRREL = "https://upload.wikimedia.org/wikipedia/commons/0/0f/Squirrel_(grey)_02,_Köln.jpg"


@pytest.mark.parametrize(
    "written",
    [
        "https://upload.wikimedia.org/wikipedia/commons/0/0f/Squirrel_%28grey%29_02%2C_K%C3%B6ln.jpg",
        "https://upload.wikimedia.org/wikipedia/commons/0/0f/Squirrel_(grey)_02,_K%c3%b6ln.jpg#file",
        f"{SQUIRREL}?utm_source=commons.wikimedia.org&utm_campaign=imageinfo&utm_content=original",
        SQUIRREL.replace("https://upload", "HTTPS://UPLOAD").replace(".org/", ".org:443/"),
    ],
)
def test_a_picture_is_known_however_its_address_is_written(written: str) -> None:
    assert url_key(written) == url_key(SQUIRREL)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://example.org/a/b.jpg", "https://example.org/a%2Fb.jpg"),
        ("https://example.org/%FE.jpg", "https://example.org/%FF.jpg"),  # no text, in whatever encoding
        ("https://example.org/a.jpg", "https://example.org/A.jpg"),
        ("https://example.org/a%3Fb.jpg", "https://example.org/a?b.jpg"),
        ("https://example.org/100%25", "https://example.org/100%2525"),
    ],
)
def test_different_pictures_stay_different(one: str, other: str) -> None:
    assert url_key(one) != url_key(other)


@pytest.mark.parametrize("text", ["", "http://[", "no address at all", "https://example.org/\ud800.jpg"])
def test_any_text_has_a_key(text: str) -> None:
    assert len(url_key(text)) == 32
