"""What the host of a picture is told about where it was found."""

from __future__ import annotations

import pytest

from pixcrawler.items import ImageItem
from pixcrawler.pipelines.download import _referer


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ("https://blog.example/posts/7?visitor=me#top", "https://blog.example/"),
        ("http://blog.example:8080/posts", "http://blog.example:8080/"),
        ("https://user:password@blog.example/", "https://blog.example/"),
        (None, None),
        ("", None),
        ("posts/7", None),
        ("javascript:void(0)", None),
    ],
)
def test_the_site_is_told_and_no_more(page: str | None, told: str | None) -> None:
    item = ImageItem("https://pictures.example/1.jpg", "page", "otter", page_url=page)
    assert _referer(item).get("Referer") == told


def test_a_secure_page_is_not_told_to_a_host_anybody_can_listen_to() -> None:
    item = ImageItem("http://pictures.example/1.jpg", "page", "otter", page_url="https://blog.example/")
    assert _referer(item) == {}
