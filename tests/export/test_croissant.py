"""croissant.json as MLCommons' own library reads it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from pixcrawler.jobs import ExportFormat

LOAD = """
import json, sys
import mlcroissant
dataset = mlcroissant.Dataset(sys.argv[1])
about = dataset.metadata
rows = []
for record in dataset.records(sys.argv[2]):
    row = {name.removeprefix(sys.argv[2] + "/"): value for name, value in record.items()}
    row = {name: value.decode() if isinstance(value, bytes) else value for name, value in row.items()}
    rows.append(row | {"image": list(row["image"].size)})
print(json.dumps({
    "errors": list(about.ctx.issues.errors),
    "version": about.ctx.conforms_to.value,
    "name": about.name,
    "licenses": sorted((license.name, license.description, license.url) for license in about.license),
    "keywords": about.keywords,
    "created": about.date_created.isoformat(),
    "limitations": about.data_limitations,
    "personal": about.personal_sensitive_information,
    "collection": about.data_collection,
    "rows": sorted(rows, key=lambda row: row["position"]),
}))
"""


def opened(archive: Path, folder: Path, records: str = "records") -> dict[str, Any]:
    with ZipFile(archive) as packed:
        packed.extractall(folder)
    command = [sys.executable, "-c", LOAD, str(folder / "croissant.json"), records]
    env = os.environ | {"CROISSANT_CACHE": str(folder / "cache")}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_its_reader_finds_every_picture_with_its_metadata(make: Any, tmp_path: Path) -> None:
    kinds = {"jpeg": "jpg", "png": "png", "webp": "webp", "gif": "gif"}
    bodies = {kind: make.picture(n, kind) for n, kind in enumerate(kinds, 1)}
    images = [
        make.entry(n, bodies[kind], extension=extension, format=kind, storage_key=kind)
        for n, (kind, extension) in enumerate(kinds.items(), 1)
    ]
    images.append(make.entry(5, bodies["jpeg"], title=make.hostile, license_id="", width=17, storage_key="jpeg"))
    make.build(make.dataset(5), images, bodies.__getitem__, tmp_path)
    found = opened(tmp_path / "dataset.zip", tmp_path / "unpacked")

    assert found["errors"] == []
    assert found["version"] == "http://mlcommons.org/croissant/1.1"
    expected = [json.loads(line) for line in (tmp_path / "unpacked" / "metadata.jsonl").read_text("utf-8").splitlines()]
    assert found["rows"] == [row | {"image": [row["width"], row["height"]]} for row in expected]
    assert found["name"] == "Pandas | and *trains*"
    assert found["licenses"] == [
        ["CC BY 4.0", "name its maker; pictures: 2", "https://creativecommons.org/licenses/by/4.0/"],
        [
            "CC0 1.0",
            "naming its maker is a courtesy; pictures: 2",
            "https://creativecommons.org/publicdomain/zero/1.0/",
        ],
        ["unknown", "find out before you use it; pictures: 1", None],
    ]
    assert found["keywords"] == list(make.keywords)
    assert found["created"] == "2026-11-30T10:00:00+00:00"
    assert "near duplicate: 5, too small: 3" in found["collection"]
    assert len(found["limitations"]) == len(found["personal"]) == 2


def test_every_split_has_records_of_its_own(make: Any, case: Any, tmp_path: Path) -> None:
    make.build(case.dataset, case.images, case.read, tmp_path, split="train=.5,test=.5")
    found = opened(tmp_path / "dataset.zip", tmp_path / "unpacked", "records/test")
    assert found["errors"] == []
    lines = (tmp_path / "unpacked" / "test" / "metadata.jsonl").read_text("utf-8").splitlines()
    assert 0 < len(lines) < len(case.images)
    expected = [json.loads(line) for line in lines]
    assert found["rows"] == [row | {"image": [row["width"], row["height"]]} for row in expected]


def test_where_pictures_lie_in_shards_it_describes_those(make: Any, case: Any, tmp_path: Path) -> None:
    make.build(case.dataset, case.images, case.read, tmp_path, kind=ExportFormat.WEBDATASET)
    files = json.loads((tmp_path / "croissant.json").read_text("utf-8"))["distribution"]
    assert [file["@id"] for file in files] == ["metadata.jsonl", "pictures"]
    [place] = files[1]["includes"]
    assert list(tmp_path.glob(place))
