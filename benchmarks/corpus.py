"""Every file of a folder, whatever it is, through the inspection workers: verdicts, the slowest, the largest, deaths.

For corpora of hostile and broken files that may not be committed: `make corpus DIR=…`. Exit status 1 if one of them
killed or stalled its worker.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pixcrawler import imaging
from pixcrawler.errors import NotAnImage
from pixcrawler.inspectors import Inspectors

WORST = 5  # are named


def look(body: bytes) -> tuple[str, float, int]:
    """Runs in a worker: the verdict, seconds of CPU, and the most memory the worker ever had, in MB."""
    began = time.process_time()
    try:
        verdict = imaging.inspect(body).format
    except NotAnImage as refused:
        verdict = refused.reason
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return verdict, time.process_time() - began, peak


@dataclass
class Findings:
    """What became of the files."""

    verdicts: Counter[str] = field(default_factory=Counter)
    seconds: dict[Path, float] = field(default_factory=dict)
    peaks: dict[Path, int] = field(default_factory=dict)  # only of files that took more than all before
    deaths: dict[Path, str] = field(default_factory=dict)

    def show(self) -> None:
        """Prints them."""
        for verdict, files in self.verdicts.most_common():
            print(f"{files:>8} {verdict}")
        for path in sorted(self.seconds, key=self.seconds.__getitem__, reverse=True)[:WORST]:
            print(f"slowest  {self.seconds[path]:8.3f} s  {path}")
        for path in sorted(self.peaks, key=self.peaks.__getitem__, reverse=True)[:WORST]:
            print(f"largest  {self.peaks[path]:8} MB {path}")
        for path, why in self.deaths.items():
            print(f"death    {path}: {why}")
        print(f"{sum(self.verdicts.values())} files, {len(self.deaths)} deaths")


async def run(paths: Iterator[Path]) -> Findings:
    """Looks at every file."""
    findings = Findings()
    workers = os.cpu_count() or 1
    inspectors = Inspectors(workers)
    await asyncio.gather(*(_some(paths, inspectors, findings) for _ in range(2 * workers)))
    await inspectors.close()
    return findings


async def _some(paths: Iterator[Path], inspectors: Inspectors, findings: Findings) -> None:
    for path in paths:
        try:
            verdict, seconds, peak = await inspectors.run(look, path.read_bytes())
        except NotAnImage as died:
            findings.deaths[path] = died.message
            findings.verdicts[died.reason] += 1
            continue
        findings.verdicts[verdict] += 1
        findings.seconds[path] = seconds
        if peak > max(findings.peaks.values(), default=0):
            findings.peaks[path] = peak


def main() -> None:
    """`corpus.py FOLDER`."""
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit("usage: make corpus DIR=a folder of files")
    paths = (path for path in sorted(Path(sys.argv[1]).rglob("*")) if path.is_file())
    findings = asyncio.run(run(paths))
    findings.show()
    sys.exit(1 if findings.deaths else 0)


if __name__ == "__main__":
    from corpus import main as importable  # by its name, so that workers find `look`

    importable()
