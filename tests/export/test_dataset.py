from typing import Any

import pytest

from pixcrawler.errors import ExportFailed
from pixcrawler.export.dataset import DatasetImage

ROW: dict[str, Any] = {
    "original_url": "https://images.example/1.jpg",
    "filename": "red_panda/000001_abababababab.jpg",
    "storage_url": "file:///data/storage/x.jpg",
    "width": 640,
    "height": 480,
    "file_size": 70_000,
    "format": "jpeg",
    "hash": "ab" * 32,
    "metadata": {
        "position": 1,
        "keyword": "red panda",
        "source": "openverse",
        "sha256": "ab" * 32,
        "storage_key": "jobs/7/images/ab/abab.jpg",
        "run": "3-1",
        "title": "A panda",
        "creator": None,
        "license": "by",
    },
}


def test_a_row_of_the_database_becomes_a_picture() -> None:
    image = DatasetImage.from_row(ROW)
    assert (image.position, image.keyword, image.sha256) == (1, "red panda", "ab" * 32)
    assert (image.extension, image.format, image.width, image.height) == ("jpg", "jpeg", 640, 480)
    assert (image.source, image.storage_key) == ("openverse", "jobs/7/images/ab/abab.jpg")
    assert (image.title, image.license, image.original_url) == ("A panda", "by", "https://images.example/1.jpg")


def test_what_the_source_did_not_say_is_an_empty_text() -> None:
    image = DatasetImage.from_row(ROW)
    assert (image.creator, image.page_url, image.attribution) == ("", "", "")


@pytest.mark.parametrize("fact", ["position", "keyword", "sha256", "storage_key", "source"])
def test_a_row_without_a_fact_is_named(fact: str) -> None:
    facts = {name: value for name, value in ROW["metadata"].items() if name != fact}
    with pytest.raises(ExportFailed, match=rf"^red_panda/000001_abababababab\.jpg: its row lacks {fact}$"):
        DatasetImage.from_row(ROW | {"metadata": facts})


@pytest.mark.parametrize("column", ["width", "height", "format"])
def test_a_row_without_a_column_is_named(column: str) -> None:
    with pytest.raises(ExportFailed, match=f"lacks {column}$"):
        DatasetImage.from_row(ROW | {column: None})


def test_a_row_without_metadata_is_named() -> None:
    with pytest.raises(ExportFailed, match=r"lacks position$"):
        DatasetImage.from_row(ROW | {"metadata": None})
