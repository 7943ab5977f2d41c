"""`make corpus`: a folder of files through the inspection workers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.bombs import bombs
from tests.pictures import encoded, photo

ROOT = Path(__file__).parents[1]


def fill(folder: Path) -> None:
    folder.mkdir()
    (folder / "good.jpg").write_bytes(encoded(photo(1)))
    (folder / "deeper").mkdir()
    (folder / "deeper" / "cut.png").write_bytes(encoded(photo(2), "png")[:-20])
    (folder / "page.jpg").write_bytes(b"<html>")
    for number, body in enumerate(bombs().values()):
        (folder / f"bomb {number}").write_bytes(body)


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)


def test_counts_verdicts_and_names_the_worst(tmp_path: Path) -> None:
    fill(tmp_path / "corpus")
    done = run("benchmarks/corpus.py", tmp_path / "corpus")
    assert done.stderr == ""
    words = [line.split() for line in done.stdout.splitlines()]
    for verdict, files in (("jpeg", 1), ("damaged", 1), ("not_an_image", 1), ("bomb", len(bombs()))):
        assert [str(files), verdict] in words
    assert sum(line.startswith("slowest ") for line in done.stdout.splitlines()) == 5
    assert "largest " in done.stdout
    assert f"{len(bombs()) + 3} files, 0 deaths" in done.stdout
    assert done.returncode == 0


DEADLY = """
import os
import corpus

def look(body):
    if body.startswith(b"<html>"):
        os.abort()
    return honest(body)

honest, corpus.look = corpus.look, look
"""


def test_a_death_is_named_and_fails_it(tmp_path: Path) -> None:
    fill(tmp_path / "corpus")
    (tmp_path / "deadly.py").write_text(DEADLY)
    program = f"import sys; sys.path[:0] = ['benchmarks', {str(tmp_path)!r}]; import corpus, deadly; corpus.main()"
    done = run("-c", program, tmp_path / "corpus")
    assert f"death    {tmp_path / 'corpus' / 'page.jpg'}: ended its worker, SIGABRT" in done.stdout
    assert ", 1 deaths" in done.stdout
    assert done.returncode == 1


def test_a_folder_that_is_not_there_is_one_line() -> None:
    done = run("benchmarks/corpus.py", "nowhere")
    assert done.returncode == 1
    assert done.stderr == "usage: make corpus DIR=a folder of files\n"
