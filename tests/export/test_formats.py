"""Every format, opened by those who read it, and by `verify` once it is damaged."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pixcrawler.errors import ExportFailed, StorageFailed
from pixcrawler.export import shards
from pixcrawler.export.formats import Built, disk_needed, verify
from pixcrawler.export_options import ExportOptions
from pixcrawler.jobs import ExportFormat

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
KINDS = list(ExportFormat)
SPLIT = "train=.5,val=.25,test=.25"
BESIDE = {"README.md", "ATTRIBUTION.md", "metadata.jsonl", "labels.csv", "labels.json", "manifest.json"}
NAME = re.compile(r"[a-z0-9][a-z0-9_-]*/[0-9]{6}_[0-9a-f]{12}\.(jpg|png|webp|gif)")

Packed = dict[str, tuple[Path, Built]]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory, make: Any) -> Packed:
    """One dataset in all formats, `<format>` and `<format>-split`; archives are unpacked by other programs too."""
    work = tmp_path_factory.mktemp("packed")
    case = make.case()
    found = {}
    for kind in KINDS:
        for way, options in ((kind.value, {}), (f"{kind}-split", {"split": SPLIT})):
            (work / way).mkdir()
            found[way] = (work / way, make.build(case.dataset, case.images, case.read, work / way, kind, **options))
    for way in ("zip", "zip-split"):
        subprocess.run(["unzip", "-q", "dataset.zip", "-d", "unpacked"], cwd=work / way, check=True)
    for way in ("7z", "7z-split"):
        subprocess.run(["7z", "x", "-bso0", "-ounpacked", "dataset.7z"], cwd=work / way, check=True)
    return found


@pytest.fixture(scope="module")
def read(packed: Packed, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the readers of `readers.py` make of them."""
    home = tmp_path_factory.mktemp("home")
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(home), "HF_DATASETS_CACHE": str(home / "cache")}
    command = [sys.executable, str(HERE / "readers.py"), str(packed["zip"][0].parent)]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text("utf-8").split("\n") if line]


def seen(row: dict[str, Any]) -> dict[str, Any]:
    """A row as a reader shows it: the picture by its size, without its name."""
    facts = {name: value for name, value in row.items() if name != "file_name"}
    return facts | {"image": [row["width"], row["height"]]}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_built_is_verified(packed: Packed, kind: ExportFormat) -> None:
    for way in (kind.value, f"{kind}-split"):
        folder, built = packed[way]
        verify(kind, folder, built)
        assert built.pictures == 12
        names = {file.name for file in built.files}
        if kind in ("zip", "7z"):
            assert names == {f"dataset.{kind}"}
            continue
        assert names >= BESIDE
        assert names == set(os.listdir(folder))
        listed = json.loads((folder / "manifest.json").read_text())["files"]
        assert {file["name"] for file in listed} == names - {"manifest.json"}


@pytest.mark.parametrize("way", ["parquet", "parquet files"])
def test_hugging_face_reads_pictures_labels_and_facts_from_parquet(
    packed: Packed, read: dict[str, Any], way: str
) -> None:
    assert read[way] == {"train": [seen(row) for row in rows(packed["parquet"][0])]}


def test_hugging_face_reads_webdataset_and_tables(packed: Packed, read: dict[str, Any]) -> None:
    facts = rows(packed["webdataset"][0])
    assert [row["json"] for row in read["webdataset"]["train"]] == facts
    assert [row["jpg"] for row in read["webdataset"]["train"]] == [[row["width"], row["height"]] for row in facts]
    assert read["jsonl"] == {"train": facts}
    table = [{name: value or "" for name, value in row.items()} for row in read["csv"]["train"]]
    urls = [row["original_url"] for row in table]
    assert urls == [row["original_url"] for row in facts]
    assert list(table[0]) == list(facts[0])


def test_webdataset_reads_a_picture_with_all_that_belongs_to_it(
    make: Any, packed: Packed, read: dict[str, Any]
) -> None:
    facts = rows(packed["webdataset"][0])
    keys = [row["key"] for row in read["tar"]]
    assert len(set(keys)) == 12
    assert not any("." in key for key in keys)
    for row, fact in zip(read["tar"], facts, strict=True):
        assert row["key"] == fact["file_name"].rpartition(".")[0]
        assert row["image"] == [fact["width"], fact["height"]]
        assert make.keywords[row["cls"]] == row["txt"] == row["label"] == fact["label"]


@pytest.mark.parametrize("way", ["folder split", "card split", "parquet split", "webdataset split"])
def test_readers_find_the_splits(packed: Packed, read: dict[str, Any], way: str) -> None:
    found = {split.replace("validation", "val"): rows for split, rows in read[way].items()}
    unpacked = packed["zip-split"][0] / "unpacked"
    for split in ("train", "val", "test"):
        hashes = [row["sha256"] for row in rows(unpacked / split)]
        assert [(row.get("json") or row)["sha256"] for row in found[split]] == hashes
    assert {split: len(rows) for split, rows in found.items()} == {"train": 6, "val": 3, "test": 3}


def test_a_zip_with_splits_is_read_whole_without_unpacking(read: dict[str, Any]) -> None:
    assert len({row["sha256"] for row in read["zip split"]["train"]}) == len(read["zip split"]["train"]) == 12


@pytest.mark.parametrize("way", ["zip", "7z", "zip-split", "7z-split"])
def test_folders_are_classes_and_hold_nothing_but_pictures(make: Any, packed: Packed, way: str) -> None:
    """The layout of torchvision's ImageFolder: root/class/picture, or that in each split."""
    root = packed[way][0] / "unpacked"
    tops = [root / split for split in ("train", "val", "test")] if way.endswith("split") else [root]
    count = 0
    for top in tops:
        for folder in (entry for entry in top.iterdir() if entry.is_dir()):
            for file in folder.iterdir():
                assert NAME.fullmatch(f"{folder.name}/{file.name}")
                count += 1
    assert count == 12
    listed = json.loads((root / "manifest.json").read_text())["files"]
    for file in listed:
        body = (root / file["name"]).read_bytes()
        assert (file["size"], file["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())


def test_zip_and_7z_are_whole_to_other_programs(packed: Packed) -> None:
    subprocess.run(["unzip", "-tq", "dataset.zip"], cwd=packed["zip"][0], check=True, stdout=subprocess.DEVNULL)
    told = subprocess.run(["7z", "t", "dataset.7z"], cwd=packed["7z"][0], check=True, capture_output=True, text=True)
    assert "Everything is Ok" in told.stdout
    assert "Files: 22" in told.stdout  # 12 pictures and the texts
    listed = subprocess.run(["7z", "l", "-slt", "dataset.7z"], cwd=packed["7z"][0], capture_output=True, text=True)
    methods = re.findall(r"^Path = (.*)\n(?:.*\n)*?Method = (.*)$", listed.stdout.split("----------")[1], re.M)
    assert all(method.startswith("Copy" if name.endswith(".jpg") else "LZMA2") for name, method in methods)
    assert len(methods) == 22


BUILD_AGAIN = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from conftest import build, hostile_case
from pixcrawler.jobs import ExportFormat
case, out = hostile_case(), Path(sys.argv[1])
for kind in ExportFormat:
    for way, options in ((kind.value, {}), (f"{kind}-split", {"split": "train=.5,val=.25,test=.25"})):
        (out / way).mkdir()
        build(case.dataset, reversed(case.images), case.read, out / way, kind, **options)
"""


def test_the_same_pictures_and_options_are_the_same_bytes(packed: Packed, tmp_path: Path) -> None:
    env = {**os.environ, "TZ": "Pacific/Apia", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONHASHSEED": "5"}
    command = [sys.executable, "-c", BUILD_AGAIN, str(tmp_path), str(ROOT), str(HERE), str(HERE.parent)]
    subprocess.run(command, env=env, check=True, umask=0o077 if os.name != "nt" else -1)
    for way, (folder, built) in packed.items():
        for file in built.files:
            assert (tmp_path / way / file.name).read_bytes() == (folder / file.name).read_bytes(), (way, file.name)


def damaged(whole: bytes) -> Iterator[bytes]:
    for cut in (1, 1000, len(whole) // 2):
        yield whole[:-cut]
    for place in random.Random(0).sample(range(len(whole)), 5):
        yield whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :]


@pytest.mark.parametrize("kind", KINDS)
def test_damage_makes_the_export_fail_not_the_reader(
    packed: Packed, make: Any, case: Any, tmp_path: Path, kind: ExportFormat
) -> None:
    built = make.build(case.dataset, case.images, case.read, tmp_path, kind)
    file = tmp_path / max(built.files, key=lambda file: file.size).name
    whole = file.read_bytes()
    for body in damaged(whole):
        file.write_bytes(body)
        with pytest.raises(ExportFailed, match=r"^\S+ is not what was built: "):
            verify(kind, tmp_path, built)
    file.write_bytes(whole)
    verify(kind, tmp_path, built)


@pytest.mark.parametrize("kind", [ExportFormat.WEBDATASET, ExportFormat.PARQUET])
def test_a_shard_with_another_picture_inside_is_refused_whatever_its_hash(
    make: Any, case: Any, tmp_path: Path, kind: ExportFormat
) -> None:
    """As if the writer itself had written something else than it was given."""
    built = make.build(case.dataset, case.images, case.read, tmp_path, kind)
    (shard,) = (file for file in built.files if file.name.startswith("shard-"))
    picture = case.read(case.images[3].storage_key)
    body = (tmp_path / shard.name).read_bytes()
    body = body.replace(picture, picture[:-1] + b"!")
    (tmp_path / shard.name).write_bytes(body)
    digest = hashlib.sha256(body).hexdigest()
    manifest = tmp_path / "manifest.json"
    manifest.write_text(manifest.read_text().replace(shard.sha256, digest))
    told = {shard.name: digest, manifest.name: hashlib.sha256(manifest.read_bytes()).hexdigest()}
    files = tuple(replace(file, sha256=told.get(file.name, file.sha256)) for file in built.files)
    with pytest.raises(ExportFailed, match=r"picture is .*000004_"):
        verify(kind, tmp_path, replace(built, files=files))


@pytest.mark.parametrize("kind", [ExportFormat.SEVEN_ZIP, ExportFormat.WEBDATASET, ExportFormat.PARQUET])
def test_a_full_disk_is_one_line_and_leaves_nothing(make: Any, small_disk: Path, kind: ExportFormat) -> None:
    body = os.urandom(500_000)
    images = [make.entry(number, body) for number in range(1, 9)]
    with pytest.raises(StorageFailed, match=f"^no space left on device: {small_disk}$"):
        make.build(make.dataset(8), images, lambda key: body, small_disk, kind)
    assert os.listdir(small_disk) == []


@pytest.mark.parametrize(("kind", "least"), [(ExportFormat.WEBDATASET, 4), (ExportFormat.PARQUET, 4)])
def test_shards_are_begun_by_size(
    make: Any, case: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: ExportFormat, least: int
) -> None:
    monkeypatch.setattr(shards, "SHARD_BYTES", 2000)
    built = make.build(case.dataset, case.images, case.read, tmp_path, kind, split="train=.7,test=.3")
    verify(kind, tmp_path, built)
    names = [file.name for file in built.files if file.name.startswith(("train-", "test-"))]
    assert names == sorted(names)
    assert len(names) > least
    assert {"train-000000", "train-000001", "test-000000"} <= {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, {"encode": "webp"}])
def test_it_takes_no_more_of_the_disk_than_was_said(
    make: Any, case: Any, tmp_path: Path, kind: ExportFormat, options: dict[str, Any]
) -> None:
    taken = 0

    def look(packed: int) -> None:
        nonlocal taken
        taken = max(taken, sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()))

    make.build(case.dataset, case.images, case.read, tmp_path, kind, tell=look, **options)
    look(12)
    size = sum(len(case.read(image.storage_key)) for image in case.images)
    assert taken <= disk_needed(kind, size, 12, ExportOptions.parse(options))


def test_progress_is_told_and_whoever_hears_it_can_end_the_work(make: Any, case: Any, tmp_path: Path) -> None:
    heard: list[int] = []

    def tell(packed: int) -> None:
        heard.append(packed)
        if packed == 5:
            raise ExportFailed("nobody wants it any more")

    with pytest.raises(ExportFailed, match="nobody wants it"):
        make.build(case.dataset, case.images, case.read, tmp_path, ExportFormat.SEVEN_ZIP, tell=tell)
    assert heard == [1, 2, 3, 4, 5]
    assert os.listdir(tmp_path) == []


def card(folder: Path) -> str:
    with zipfile.ZipFile(folder / "dataset.zip") as archive:
        return archive.read("README.md").decode()


def test_only_pictures_that_were_asked_for_are_in_it_and_the_card_says_so(make: Any, case: Any, tmp_path: Path) -> None:
    wanted = {"rights": "public-domain", "keywords": "Steam-Train", "sources": "openverse"}
    built = make.build(case.dataset, case.images, case.read, tmp_path, **wanted)
    with zipfile.ZipFile(tmp_path / "dataset.zip") as archive:
        facts = [json.loads(line) for line in archive.read("metadata.jsonl").splitlines()]
        manifest = json.loads(archive.read("manifest.json"))
    expected = [
        image.sha256 for image in case.images if image.license_id == "CC0-1.0" and image.keyword == "steam-train"
    ]
    assert [row["sha256"] for row in facts] == expected
    assert built.pictures == manifest["pictures"] == len(expected) > 0
    assert manifest["options"] == {**wanted, "keywords": ["Steam-Train"], "sources": ["openverse"]}
    text = card(tmp_path)
    assert f"in this dataset: {len(expected)} pictures, of the 12 that were kept: those whose rights are within" in text
    assert "| kept | 12 |" in text
    assert "CC BY 4.0" not in text


@pytest.mark.parametrize("wanted", [{"sources": "flickr"}, {"keywords": "otter"}])
def test_an_export_of_nothing_is_refused(make: Any, case: Any, tmp_path: Path, wanted: dict[str, str]) -> None:
    with pytest.raises(ExportFailed, match=r"^none of the 12 pictures "):
        make.build(case.dataset, case.images, case.read, tmp_path, **wanted)
    assert os.listdir(tmp_path) == []


def test_what_is_rewritten_says_so_everywhere(make: Any, case: Any, tmp_path: Path) -> None:
    built = make.build(case.dataset, case.images, case.read, tmp_path, max_side="20", encode="webp")
    verify(ExportFormat.ZIP, tmp_path, built)
    with zipfile.ZipFile(tmp_path / "dataset.zip") as archive:
        facts = [json.loads(line) for line in archive.read("metadata.jsonl").splitlines()]
        for row, image in zip(facts, case.images, strict=True):
            body = archive.read(row["file_name"])
            assert body[8:12] == b"WEBP"
            digest = hashlib.sha256(body).hexdigest()
            assert (row["sha256"], row["original_sha256"]) == (digest, image.sha256)
            assert row["file_name"].endswith(f"_{digest[:12]}.webp")
            assert (row["format"], max(row["width"], row["height"])) == ("webp", min(20, image.width))
        assert "Here some are changed" in archive.read("ATTRIBUTION.md").decode()
    assert "at most 20 pixels a side, all WEBP" in card(tmp_path)
    assert "byte for byte" not in card(tmp_path)


def test_a_picture_that_cannot_be_rewritten_is_named(make: Any, case: Any, tmp_path: Path) -> None:
    broken = make.picture(3)[:-40]
    images = [*case.images[:2], make.entry(3, broken), *case.images[3:]]
    files: Callable[[str], bytes] = lambda key: broken if key == images[2].storage_key else case.read(key)  # noqa: E731
    with pytest.raises(ExportFailed, match=rf"/000003_\S+ cannot be rewritten: .*: {images[2].storage_key}$"):
        make.build(case.dataset, images, files, tmp_path, max_side="8")


def test_pictures_that_look_alike_are_in_one_split(make: Any, case: Any, tmp_path: Path) -> None:
    images = [replace(image, group=f"g{image.position % 5}") for image in case.images]
    make.build(case.dataset, images, case.read, tmp_path, ExportFormat.JSONL, split=SPLIT)
    places: dict[int, set[str]] = {}
    for row in rows(tmp_path):
        places.setdefault(row["position"] % 5, set()).add(row["file_name"].partition("/")[0])
    assert all(len(splits) == 1 for splits in places.values())
    assert set.union(*places.values()) == {"train", "val", "test"}
