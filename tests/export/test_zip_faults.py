import hashlib
import os
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pixcrawler.errors import ExportFailed, PixCrawlerError, StorageFailed
from pixcrawler.export.formats import Built, BuiltFile, verify
from pixcrawler.jobs import ExportFormat
from pixcrawler.storage.local import LocalStorage


def refused(
    folder: Path,
    make: Any,
    dataset: Any,
    images: list[Any],
    read: Callable[[str], bytes],
    kind: type[PixCrawlerError] = ExportFailed,
    **options: Any,
) -> str:
    """The one line that says why; nothing is left."""
    with pytest.raises(kind) as caught:
        make.build(dataset, images, read, folder, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert os.listdir(folder) == []
    return message


def test_a_changed_picture_is_named(make: Any, case: Any, tmp_path: Path) -> None:
    victim = case.images[7].storage_key
    message = refused(tmp_path, make, case.dataset, case.images, lambda key: case.read(key) + b"!" * (key == victim))
    assert re.search(rf"^\S+/000008_[0-9a-f]{{12}}\.jpg cannot be packed: its bytes have changed: {victim}$", message)


def test_a_missing_picture_is_named(make: Any, case: Any, tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "storage")
    (tmp_path / "out").mkdir()
    message = refused(tmp_path / "out", make, case.dataset, case.images, storage.read)
    assert re.search(rf"/000001_.*no such file: {case.images[0].storage_key}$", message)


def test_a_count_that_does_not_agree_is_refused(make: Any, case: Any, tmp_path: Path) -> None:
    assert "11 pictures to pack, but 12 were kept" in refused(tmp_path, make, case.dataset, case.images[:-1], case.read)
    assert "0 pictures" in refused(tmp_path, make, make.dataset(0), [], case.read)


def test_a_picture_that_comes_twice_or_from_elsewhere_is_refused(make: Any, case: Any, tmp_path: Path) -> None:
    twice = [case.images[0], *case.images]
    assert "13 pictures to pack, but 12 were kept" in refused(tmp_path, make, case.dataset, twice, case.read)
    assert "two pictures have the same position" in refused(tmp_path, make, make.dataset(13), twice, case.read)
    foreign = [replace(case.images[0], keyword="cats"), *case.images[1:]]
    assert "picture 1 is of no keyword" in refused(tmp_path, make, case.dataset, foreign, case.read)


def test_stopping_the_reader_stops_the_build_and_leaves_nothing(make: Any, case: Any, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def read(key: str) -> bytes:
        if key == case.images[5].storage_key:
            raise Stop
        return case.read(key)

    with pytest.raises(Stop):
        make.build(case.dataset, case.images, read, tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("size", [3_000_000, 500_000, 1])
def test_a_full_disk_is_one_line_and_leaves_nothing(make: Any, small_disk: Path, size: int) -> None:
    body = os.urandom(size)
    images = [make.entry(n, body, title="t" * 50_000) for n in range(1, 60)]
    message = refused(small_disk, make, make.dataset(59), images, lambda key: body, StorageFailed)
    assert message == f"no space left on device: {small_disk}"


def test_any_damage_is_noticed(built: tuple[Path, Built]) -> None:
    path, result = built
    whole = path.read_bytes()
    for place in range(0, len(whole), 97):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ExportFailed, match=r"^dataset\.zip is not what was built: "):
            verify(ExportFormat.ZIP, path.parent, result)
    for cut in (1, 1000, len(whole) // 2, len(whole)):
        path.write_bytes(whole[:-cut])
        with pytest.raises(ExportFailed):
            verify(ExportFormat.ZIP, path.parent, result)
    path.unlink()
    with pytest.raises(StorageFailed, match="no such file"):
        verify(ExportFormat.ZIP, path.parent, result)


def repacked(path: Path, change: Callable[[dict[str, bytes]], object]) -> Built:
    """The same ZIP with other content, and what an honest builder would say of it."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, body in members.items():
            archive.writestr(zipfile.ZipInfo(name), body)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Built((BuiltFile(path.name, path.stat().st_size, digest, "application/zip"),), 12)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda m: m.update({next(iter(m)): b"other"}), r"size of .*_.*jpg is 5"),
        (lambda m: m.update({"metadata.jsonl": m["metadata.jsonl"].swapcase()}), r"SHA-256 of metadata\.jsonl"),
        (lambda m: m.pop("ATTRIBUTION.md"), r"ATTRIBUTION\.md is not in its place"),
        (lambda m: m.update({"extra": b"", "manifest.json": m.pop("manifest.json")}), "extra is not in its place"),
        (lambda m: m.pop("manifest.json"), r"manifest\.json"),
    ],
)
def test_a_zip_that_disagrees_with_its_manifest_is_refused(
    built: tuple[Path, Built], change: Callable[[dict[str, bytes]], object], complaint: str
) -> None:
    result = repacked(built[0], change)
    with pytest.raises(ExportFailed, match=complaint):
        verify(ExportFormat.ZIP, built[0].parent, result)
