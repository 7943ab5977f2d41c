"""The port at which a service tells its metrics."""

from __future__ import annotations

from pathlib import Path
from urllib.request import urlopen

import pytest
from loopback import closed_port

from pixcrawler.config import Config
from pixcrawler.errors import UsageError
from pixcrawler.exposition import serving
from pixcrawler.services import free_port


def read(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        return str(answer.read().decode())


def test_a_database_that_is_away_is_told_and_nothing_of_its_address(tmp_path: Path) -> None:
    settings = Config(data_dir=tmp_path, metrics_port=free_port())
    with serving(settings, f"postgresql://joe:open-sesame@127.0.0.1:{closed_port()}/x"):
        assert settings.metrics_port is not None
        told = read(settings.metrics_port)
    assert "pixcrawler_database_up 0.0" in told.splitlines()
    assert "pixcrawler_statement_seconds_count" in told
    assert "open-sesame" not in told
    with pytest.raises(OSError, match="refused"):
        read(settings.metrics_port)


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    settings = Config(data_dir=tmp_path, metrics_port=free_port())
    with (
        serving(settings, ""),
        pytest.raises(UsageError, match=r"^PIXCRAWLER_METRICS_PORT: 127\.0\.0\.1:"),
        serving(settings, ""),
    ):
        pass


def test_unset_it_listens_nowhere(tmp_path: Path) -> None:
    with serving(Config(data_dir=tmp_path), "no database is asked"):
        pass
