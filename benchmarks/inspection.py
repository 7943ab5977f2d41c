"""What looking at a picture costs, in milliseconds of CPU: here, and in the confined worker processes.

The pictures are JPEGs of about 70 kB, as in `throughput.py`, and of 12 megapixels. All ways take turns, and the median
of the rounds is told. `--before FILE` adds another `imaging.py`, such as an older one from `git show`.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from pictures import BIG, SIZE, picture

from pixcrawler import imaging
from pixcrawler.inspectors import Inspectors

ROUNDS = 7

Way = Callable[[Sequence[bytes]], Awaitable[None]]


def here(inspect: Callable[[bytes], Any]) -> Way:
    """In this process."""

    async def look(bodies: Sequence[bytes]) -> None:
        for body in bodies:
            inspect(body)

    return look


def there(inspectors: Inspectors, function: Callable[[bytes], Any]) -> Way:
    """In the workers."""

    async def look(bodies: Sequence[bytes]) -> None:
        await asyncio.gather(*(inspectors.run(function, body) for body in bodies))

    return look


def cpu_seconds() -> float:
    """Of this process and all below it."""
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(sum(each.cpu_times()[:2]) for each in family)


async def measure(ways: dict[str, Way], bodies: Sequence[bytes]) -> None:
    """Prints a line for each way."""
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    wall: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():  # workers start, and late imports happen
        await way(bodies[:4])
    for _ in range(ROUNDS):
        for name, way in ways.items():
            before, began = cpu_seconds(), time.perf_counter()
            await way(bodies)
            wall[name].append((time.perf_counter() - began) / len(bodies) * 1000)
            cpu[name].append((cpu_seconds() - before) / len(bodies) * 1000)
    for name in ways:
        print(f"  {name:28} {median(cpu[name]):7.2f} ms CPU  {median(wall[name]):7.2f} ms")


async def run(before: Path | None) -> None:
    """All ways on all pictures."""
    inspectors = Inspectors(2)
    inspectors.start()
    ways = {"inspection, in this process": here(imaging.inspect)}
    if before:
        ways = {f"{before.name}, in this process": here(_older(before)), **ways}
    ways |= {
        "in confined workers": there(inspectors, imaging.inspect),
        "a task that does nothing": there(inspectors, len),
    }
    for size, count in ((SIZE, 200), (BIG, 12)):
        bodies = [picture(number, "jpeg", size) for number in range(count)]
        print(f"{size[0]}x{size[1]}, {sum(map(len, bodies)) // len(bodies) // 1000} kB")
        await measure(ways, bodies)
    await inspectors.close()


def _older(path: Path) -> Callable[[bytes], Any]:
    spec = importlib.util.spec_from_file_location("before", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.inspect  # type: ignore[no-any-return]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path)
    asyncio.run(run(parser.parse_args().before))


if __name__ == "__main__":
    main()
