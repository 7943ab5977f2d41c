import csv
import hashlib
import io
import json
import os
import re
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pixcrawler.export.formats import Built, BuiltFile, verify
from pixcrawler.export.labels import LABELS
from pixcrawler.jobs import ExportFormat

TEXT_FILES = {"README.md", "ATTRIBUTION.md", "metadata.jsonl", *LABELS, "croissant.json", "index.html", "manifest.json"}


def rows(archive: zipfile.ZipFile) -> list[dict[str, Any]]:
    return [json.loads(line) for line in archive.read("metadata.jsonl").split(b"\n") if line]


def test_it_holds_the_pictures_and_the_texts_and_nothing_else(make: Any, case: Any, built: tuple[Path, Built]) -> None:
    path, result = built
    images, read = case.images, case.read
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert result == Built((BuiltFile("dataset.zip", path.stat().st_size, digest, "application/zip"),), 12)
    verify(ExportFormat.ZIP, path.parent, result)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert set(names[12:]) == TEXT_FILES
        for image, name, row in zip(images, names[:12], rows(archive), strict=True):
            assert re.fullmatch(r"[a-z0-9][a-z0-9_-]*/[0-9]{6}_[0-9a-f]{12}\.jpg", name)
            assert archive.read(name) == read(image.storage_key)
            assert (row["file_name"], row["label"], row["sha256"]) == (name, image.keyword, image.sha256)
            assert (row["width"], row["height"]) == (image.width, image.height)
            assert row["original_url"] == image.original_url
        folders = {image.keyword: name.split("/")[0] for image, name in zip(images, names, strict=False)}
        assert len(set(folders.values())) == len(make.keywords)
    assert os.listdir(path.parent) == ["dataset.zip"]


def test_the_manifest_knows_every_other_file(built: tuple[Path, Built]) -> None:
    with zipfile.ZipFile(built[0]) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        assert [file["name"] for file in manifest["files"]] == archive.namelist()[:-1]
        for file in manifest["files"]:
            body = archive.read(file["name"])
            assert (file["size"], file["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
    assert manifest["pictures"] == 12


def test_label_files_agree_with_the_metadata(make: Any, built: tuple[Path, Built]) -> None:
    with zipfile.ZipFile(built[0]) as archive:
        expected = [{"file_name": row["file_name"], "label": row["label"]} for row in rows(archive)]
        assert list(csv.DictReader(io.StringIO(archive.read("labels.csv").decode()))) == expected
        labels = json.loads(archive.read("labels.json"))
    assert labels == {"labels": list(make.keywords), "images": expected}


def test_a_label_cannot_be_a_formula(make: Any, tmp_path: Path) -> None:
    body = make.picture(1)
    keywords = ('=HYPERLINK("http://evil","x")', "-1+1", "+1", "@SUM(A1)", "fine")
    images = [make.entry(n, body, keyword=keyword) for n, keyword in enumerate(keywords, 1)]
    make.build(make.dataset(5, keywords=keywords), images, lambda key: body, tmp_path)
    with zipfile.ZipFile(tmp_path / "dataset.zip") as archive:
        cells = [row[1] for row in csv.reader(io.StringIO(archive.read("labels.csv").decode()))]
        assert cells[1:] == ["'" + keyword for keyword in keywords[:4]] + ["fine"]
        assert [row["label"] for row in rows(archive)] == list(keywords)


def test_the_card_tells_what_was_asked_found_and_allowed(built: tuple[Path, Built]) -> None:
    with zipfile.ZipFile(built[0]) as archive:
        card = archive.read("README.md").decode()
        attribution = archive.read("ATTRIBUTION.md").decode()
    assert "asked for: 20 pictures" in card
    assert "Short: the sources have no more." in card
    for line in (
        "| found | 20 |",
        "| kept | 12 |",
        "| near duplicate | 5 |",
        "| too small | 3 |",
        "| openverse | 12 |",
    ):
        assert f"\n{line}\n" in card
    cc0 = "| CC0 1.0 | <https://creativecommons.org/publicdomain/zero/1.0/> | naming its maker is a courtesy | 6 |"
    assert cc0 in card
    assert "| red panda | `red_panda/` | 2 |" in card
    assert attribution.count("\n- `") == 12
    assert (
        "“untitled” by an unknown maker, found with openverse on <https://pages.example/1>, CC BY 4.0 (<" in attribution
    )


def test_hostile_text_adds_no_line_and_no_link_anywhere(built: tuple[Path, Built]) -> None:
    with zipfile.ZipFile(built[0]) as archive:
        for name in TEXT_FILES:
            text = archive.read(name).decode()
            assert not re.search("[\0\u2028\u202e]", text), name
            assert "<script>alert" not in text.replace(r"\<script", "") or name == "metadata.jsonl"
            assert "\n# no" not in text
        assert len(rows(archive)) == len(archive.read("metadata.jsonl").decode().splitlines()) == 12


@pytest.mark.skipif(os.name == "nt", reason="no unzip")
def test_another_unpacker_stays_in_its_folder(built: tuple[Path, Built], tmp_path: Path) -> None:
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    subprocess.run(["unzip", "-q", str(built[0]), "-d", str(inside)], check=True)
    found = {path.relative_to(inside).as_posix() for path in inside.rglob("*") if path.is_file()}
    with zipfile.ZipFile(built[0]) as archive:
        assert found == set(archive.namelist())
    assert sorted(os.listdir(tmp_path)) == ["a", "dataset.zip"]
    assert {path.stat().st_mode & 0o777 for path in inside.rglob("*.jpg")} == {0o644}


@pytest.mark.skipif(os.name == "nt", reason="no unzip")
def test_more_and_larger_than_a_plain_zip_can_say(
    make: Any, case: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """65,536 files and 4 GiB take too long here: `benchmarks/export.py` has them."""
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 10)
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 3000)
    verify(ExportFormat.ZIP, tmp_path, make.build(case.dataset, case.images, case.read, tmp_path))
    body = (tmp_path / "dataset.zip").read_bytes()
    assert b"PK\x06\x06" in body[-200:]  # the end as ZIP64 has it
    subprocess.run(["unzip", "-tq", "dataset.zip"], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
