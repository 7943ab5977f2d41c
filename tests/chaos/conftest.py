"""The fault matrix: sizes and timings, a machine per test, and the table at the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from loopback import Web, web
from machines import PATIENCE, Machine, disposable
from verdicts import Verdict

from pixcrawler.config import Config, variable

T = TypeVar("T")

CLOCKS = ("heartbeat", "lease", "fence", "dispatch", "cancel", "retry")
FASTER = 5  # times, except with `--chaos=real`
SECONDS = {"reduced": 120, "full": 600, "real": 3600}  # for one test
COLUMNS = ("line", "fault", "firings", "jobs", "lost", "twice", "stuck", "remarks")


@dataclass(frozen=True)
class Scale:
    """How much is tried (`reduced`, `full`, `real`), and by which clocks."""

    name: str

    def size(self, reduced: T, full: T) -> T:
        """The one of two that fits."""
        return reduced if self.name == "reduced" else full

    def seconds(self, real: float) -> float:
        """So many seconds of a machine with the clocks as they are by default."""
        return real if self.name == "real" else real / FASTER

    def clock(self, name: str) -> float:
        """The seconds of a clock such as "lease"."""
        return self.seconds(Config.model_fields[f"{name}_seconds"].default)

    @property
    def patience(self) -> float:
        """After so many seconds a wait has been in vain; with the real clocks there are leases of 45 to wait for."""
        return 180 if self.name == "real" else PATIENCE

    @property
    def settings(self) -> dict[str, str]:
        clocks = {variable(f"{name}_seconds"): str(self.clock(name)) for name in CLOCKS}
        # A dataset of a hundred tiny pictures is built in a second: its lease may be as short as a crawl's.
        return clocks | {variable("export_lease_seconds"): str(self.clock("lease"))}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--chaos",
        choices=list(SECONDS),
        default="reduced",
        help="the fault matrix: reduced; full, all of it with clocks five times as fast; real, with the real ones",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "whole: left out of the reduced fault matrix")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    name = config.getoption("--chaos", "reduced")
    ours = [item for item in items if Path(__file__).parent in item.path.parents]
    for item in ours:
        item.add_marker(pytest.mark.timeout(SECONDS[name]))
    left_out = [item for item in ours if name == "reduced" and item.get_closest_marker("whole")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def scale(request: pytest.FixtureRequest) -> Scale:
    return Scale(request.config.getoption("--chaos", "reduced"))


@pytest.fixture
def source() -> Iterator[Web]:
    with web() as running:
        yield running


@pytest.fixture
def machine(
    database_url: str, tmp_path: Path, source: Web, sql: Callable[..., list[tuple[Any, ...]]], scale: Scale
) -> Iterator[Machine]:
    """A machine without processes yet, on a database of its own. Nothing of it may be left at the end."""
    machine = Machine(tmp_path, database_url, source, sql, scale.settings)
    machine.patience = scale.patience
    yield from disposable(machine)


@pytest.fixture
def verdict(record_property: Callable[[str, object], None]) -> Callable[[Verdict], None]:
    """`verdict(judge(…))`: enters a line into the table, and fails the test if anything is wrong."""

    def enter(result: Verdict) -> None:
        record_property("chaos", json.dumps(result.row))
        assert not result.complaints, "\n".join(result.complaints[:20])
        assert (result.lost, result.twice, result.stuck) == (0, 0, 0)

    return enter


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.getreports(outcome)]
    rows = [
        json.loads(value)
        for report in reports
        if report.when == "call"
        for name, value in report.user_properties
        if name == "chaos"
    ]
    if rows:
        terminalreporter.section("the fault matrix")
        for line in _table(sorted(rows, key=lambda row: (int(row["line"]), row["fault"]))):
            terminalreporter.write_line(line)


def _table(rows: list[dict[str, Any]]) -> list[str]:
    cells = [list(COLUMNS), *([str(row[column]) for column in COLUMNS] for row in rows)]
    widths = [max(len(row[n]) for row in cells) for n in range(len(COLUMNS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
