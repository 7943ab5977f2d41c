import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from pixcrawler.export.formats import Built

LOAD = """
import json, sys
import datasets
datasets.disable_progress_bars()
folder, archive = sys.argv[1:]
ways = {
    "folder": {"path": "imagefolder", "data_dir": folder},
    "archive": {"path": "imagefolder", "data_files": archive},
    "labels wanted": {"path": "imagefolder", "data_dir": folder, "drop_labels": False},
    "labels unwanted": {"path": "imagefolder", "data_dir": folder, "drop_labels": True},
    "bare": {"path": "imagefolder", "data_dir": folder, "drop_metadata": True},
    "by its card": {"path": folder},
}
answer = {}
for way, arguments in ways.items():
    loaded = datasets.load_dataset(**arguments)
    rows = []
    for row in loaded["train"]:
        row["image"] = row["image"].size
        rows.append(row)
    columns = {name: str(kind) for name, kind in loaded["train"].features.items()}
    answer[way] = {"splits": list(loaded), "rows": rows, "columns": columns}
print(json.dumps(answer))
"""


def loaded(path: Path, work: Path) -> dict[str, Any]:
    """What Hugging Face's own loader makes of a ZIP, in every way people load one."""
    folder = work / "unpacked"
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(work / "hf"), "HF_DATASETS_CACHE": str(work / "cache")}
    command = [sys.executable, "-c", LOAD, str(folder), str(path)]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_hugging_face_reads_every_picture_with_its_metadata(built: tuple[Path, Built], tmp_path: Path) -> None:
    with zipfile.ZipFile(built[0]) as archive:
        expected = [json.loads(line) for line in archive.read("metadata.jsonl").splitlines()]
    for row in expected:
        row.pop("file_name")
        row["image"] = [row["width"], row["height"]]
    for way, found in loaded(built[0], tmp_path).items():
        assert found["splits"] == ["train"], way
        if way == "bare":
            assert sorted(row["image"] for row in found["rows"]) == sorted(row["image"] for row in expected)
        else:
            assert found["rows"] == expected, way
            assert found["columns"]["title"] == found["columns"]["creator"] == "Value('string')", way


def test_hugging_face_reads_a_single_picture(make: Any, tmp_path: Path) -> None:
    body = make.picture(1)
    make.build(make.dataset(1), [make.entry(1, body, keyword="train")], lambda key: body, tmp_path)
    for way, found in loaded(tmp_path / "dataset.zip", tmp_path).items():
        assert [row["image"] for row in found["rows"]] == [[17, 16]], way
