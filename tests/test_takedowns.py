"""What somebody takes back is recognised, however it is written."""

from __future__ import annotations

import pytest

from pixcrawler.errors import UsageError
from pixcrawler.takedowns import Kind, Subject, marks, marks_of_image

ITEM = {
    "url": "https://a.example/(1).jpg",
    "page_url": "https://a.example/page",
    "creator": "Ada  Lovelace",
    "creator_url": "https://People.example/Ada/",
}


@pytest.mark.parametrize(
    ("kind", "given", "meant"),
    [
        (Kind.URL, " HTTPS://A.example:443/%281%29.jpg?utm_source=x#top", True),
        (Kind.URL, "https://a.example/page", True),
        (Kind.URL, "https://a.example/(2).jpg", False),
        (Kind.CREATOR, "ADA lovelace ", True),
        (Kind.CREATOR, "ａｄａ Lovelace", True),
        (Kind.CREATOR, "https://people.example/ada", True),
        (Kind.CREATOR, "Ada", False),
    ],
)
def test_what_is_meant(kind: Kind, given: str, meant: bool) -> None:
    subject = Subject.parse(kind, given)
    assert (subject.mark in marks(ITEM)) is meant
    assert (subject.mark in marks_of_image("https://b.example/", {"also_found": [ITEM]})) is meant


@pytest.mark.parametrize(
    ("kind", "given"),
    [(Kind.URL, "a.example/1.jpg"), (Kind.URL, "https://[/"), (Kind.CREATOR, " "), (Kind.SHA256, "9f86d081")],
)
def test_what_means_nothing_is_refused(kind: Kind, given: str) -> None:
    with pytest.raises(UsageError):
        Subject.parse(kind, given)
