"""A crawl that meets hardly anything but faults, in small; `benchmarks/faults.py` does it with ten thousand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "faults.py"
ADDRESSES = 1000


def test_outcomes_add_up_and_nothing_grows_or_stalls(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, BENCHMARK, "--addresses", str(ADDRESSES), "--json", file]
    done = subprocess.run(command, capture_output=True, text=True)
    assert file.exists(), done.stderr
    figures = json.loads(file.read_text())
    assert figures["wrong"] == []
    assert figures["outcomes"] == sum(sum(counts.values()) for counts in figures["reasons"].values()) == ADDRESSES
    assert figures["growth_mb"] < 50
    assert figures["stall_p99_ms"] - figures["machine_p99_ms"] < 250  # what the machine itself is late by is not ours
    assert done.returncode == 0, done.stdout
