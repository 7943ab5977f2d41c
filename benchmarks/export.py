"""How much memory and time a dataset of many pictures takes, beside `zip -0` and `7z -mx0` over the same files.

Each format is built and verified in a process of its own, whose greatest resident memory is told. The pictures are
random bytes, made once: `--pictures 70000 --size 65000` are more than 4 GiB and more than 65,535 entries. Needs zip, 7z
and Linux: `.venv/bin/python benchmarks/export.py --folder DIR`; the figures also go to `--json FILE`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

from pixcrawler.export import formats
from pixcrawler.export.dataset import Dataset, DatasetImage
from pixcrawler.export_options import ExportOptions
from pixcrawler.jobs import ExportFormat, Funnel

HASHES = "sha256s.txt"
KEYWORDS = ("red panda", "otter", "owl")
PLAIN = {"zip": ["zip", "-0", "-q", "-r"], "7z": ["7z", "a", "-mx0", "-bd", "-bso0"]}


@dataclass(frozen=True)
class Result:
    """One dataset."""

    format: str
    pictures: int
    bytes: int  # of the pictures
    build_seconds: float
    build_cpu_seconds: float
    build_peak_mb: float  # resident memory
    verify_seconds: float
    verify_peak_mb: float
    plain_seconds: float | None  # of the plain archiver, over the same files
    plain_cpu_seconds: float | None


def make_pictures(folder: Path, count: int, size: int) -> None:
    """Files of random bytes, no two alike."""
    if (folder / HASHES).exists():
        return
    hashes = []
    for number in range(count):
        body = Random(number).randbytes(size)
        file = folder / key(number)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)
        hashes.append(hashlib.sha256(body).hexdigest())
    (folder / HASHES).write_text("\n".join(hashes))


def key(number: int) -> str:
    return f"{number % 256:02x}/{number:06d}.jpg"


def images(folder: Path) -> Iterator[DatasetImage]:
    for number, digest in enumerate((folder / HASHES).read_text().split()):
        yield DatasetImage(
            position=number + 1,
            keyword=KEYWORDS[number % len(KEYWORDS)],
            sha256=digest,
            extension="jpg",
            format="jpeg",
            storage_key=key(number),
            width=640,
            height=480,
            source="openverse",
            page_url=f"https://pages.example/{number}",
            title=f"Picture {number}, of something that was seen somewhere",
            creator=f"Somebody {number % 1000}",
            creator_url=f"https://people.example/{number % 1000}",
            license="by 2.0",
            license_url="https://creativecommons.org/licenses/by/2.0/",
            license_id="CC-BY-2.0",
            attribution="",
            original_url=f"https://images.example/{number}.jpg",
        )


def dataset(count: int) -> Dataset:
    return Dataset(
        job=1,
        name="Many",
        version=1,
        keywords=KEYWORDS,
        sources=("openverse",),
        asked=count,
        kept=count,
        outcome=f"all {count} images that were asked for",
        funnel=Funnel({"kept": count}),
        runs=(),
    )


def build(kind: ExportFormat, pictures: Path, count: int, out: Path) -> dict[str, float]:
    """Builds and verifies in this process, which does nothing else."""
    start, cpu = time.monotonic(), time.process_time()
    data, options = dataset(count), ExportOptions()
    read = lambda key: (pictures / key).read_bytes()  # noqa: E731
    built = formats.build(kind, data, images(pictures), read, out, options, lambda packed: None)
    figures = {"build_seconds": time.monotonic() - start, "build_cpu_seconds": time.process_time() - cpu}
    figures["build_peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    start = time.monotonic()
    formats.verify(kind, out, built)
    figures["verify_seconds"] = time.monotonic() - start
    figures["verify_peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return figures


def plain(kind: str, pictures: Path, out: Path) -> tuple[float, float]:
    """Seconds, and seconds of computing, of the plain archiver."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run([*PLAIN[kind], str(out / f"plain.{kind}"), "."], cwd=pictures, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic() - start, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(kind: ExportFormat, folder: Path, count: int, size: int) -> Result:
    pictures, out = folder / f"pictures-{count}-{size}", folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    command = [sys.executable, __file__, "--build", kind, "--folder", str(folder)]
    command += ["--pictures", str(count), "--size", str(size)]
    figures = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    seconds = plain(kind, pictures, out) if kind in PLAIN else (None, None)
    shutil.rmtree(out)
    return Result(kind, count, count * size, **figures, plain_seconds=seconds[0], plain_cpu_seconds=seconds[1])


def told(result: Result) -> str:
    rate = result.bytes / 1e6 / result.build_seconds
    line = (
        f"{result.format:10} {result.pictures} pictures, {result.bytes / 1e9:.2f} GB: {rate:.0f} MB/s,"
        f" {result.build_cpu_seconds:.1f} s of computing, {result.build_peak_mb:.0f} MB resident at most;"
        f" verified in {result.verify_seconds:.1f} s, {result.verify_peak_mb:.0f} MB"
    )
    if result.plain_seconds and result.plain_cpu_seconds:
        ratio, computing = (
            result.plain_seconds / result.build_seconds,
            result.plain_cpu_seconds / result.build_cpu_seconds,
        )
        line += (
            f"; {ratio:.2f} times the throughput of {' '.join(PLAIN[result.format][:3])}, {computing:.2f} by computing"
        )
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="with room for three times the pictures")
    parser.add_argument("--pictures", type=int, default=50_000)
    parser.add_argument("--size", type=int, default=5_000, help="bytes of each")
    parser.add_argument("--format", type=ExportFormat, action="append", choices=list(ExportFormat))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--build", type=ExportFormat, help=argparse.SUPPRESS)
    given = parser.parse_args()
    pictures = given.folder / f"pictures-{given.pictures}-{given.size}"
    if given.build:
        print(json.dumps(build(given.build, pictures, given.pictures, given.folder / "out")))
        return
    make_pictures(pictures, given.pictures, given.size)
    results = []
    for kind in given.format or [ExportFormat.ZIP, ExportFormat.SEVEN_ZIP]:
        results.append(measure(kind, given.folder, given.pictures, given.size))
        print(told(results[-1]), flush=True)
    if given.json:
        given.json.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n")


if __name__ == "__main__":
    main()
