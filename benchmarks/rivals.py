"""The tools to compare with, as they are installed, in an environment of their own outside of this one."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
HOME = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "pixcrawler-benchmarks"
PINNED = ("img2dataset==1.47.0", "icrawler==0.6.10")
THREADS = 64  # of each process of img2dataset; its authors' advice is more where there are more cores

Command = Callable[[Path, int, Path], list[str]]  # of a list of so many addresses, into a folder


@dataclass(frozen=True)
class Rival:
    """A tool, and how it is told to fetch what a list names."""

    name: str
    command: Command


def rivals() -> list[Rival]:
    """Scrapy's own pipeline, icrawler, and img2dataset: with its own settings, without resizing, and without both
    resizing and encoding anew."""
    python = _installed()
    as_served = ("--resize_mode=no", "--skip_reencode=True")
    return [
        Rival("img2dataset, as served", _img2dataset(python, *as_served)),
        Rival("img2dataset, no resize", _img2dataset(python, "--resize_mode=no")),
        Rival("img2dataset, resized", _img2dataset(python)),
        Rival("ImagesPipeline", lambda urls, _, out: [sys.executable, str(HERE / "stock.py"), str(urls), str(out)]),
        Rival("icrawler", lambda urls, _, out: [str(python), str(HERE / "icrawler_list.py"), str(urls), str(out)]),
    ]


def _img2dataset(python: Path, *options: str) -> Command:
    processes = os.cpu_count() or 1

    def command(urls: Path, number: int, out: Path) -> list[str]:
        shard = -(-number // processes)  # as many shards as processes: its own default leaves all but one idle
        given = [f"--url_list={urls}", f"--output_folder={out}", f"--number_sample_per_shard={shard}"]
        given += [f"--processes_count={processes}", f"--thread_count={THREADS}"]
        return [str(python.with_name("img2dataset")), *given, *options]

    return command


def _installed() -> Path:
    python = HOME / "bin" / "python"
    stamp = HOME / "installed"
    if not (stamp.exists() and stamp.read_text().split() == list(PINNED)):
        print(f"Installing {' and '.join(PINNED)} in {HOME}", file=sys.stderr)
        venv.create(HOME, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PINNED], check=True)
        stamp.write_text("\n".join(PINNED))
    return python
