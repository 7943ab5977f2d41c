"""Three providers, each with a place of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from azurite_server import Azurite
from faulty_proxy import Proxy, proxy
from supabase_server import Supabase, supabase

from pixcrawler.config import Config
from pixcrawler.storage import retries

SERVERS = {"azure": "azurite", "supabase": "supabase"}


@pytest.fixture(scope="session", name="supabase")
def _supabase() -> Iterator[Supabase]:
    with supabase() as running:
        yield running


@pytest.fixture(params=["local", "azure", "supabase"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Config:
    """The settings for each provider in turn."""
    if request.param == "local":
        return Config(data_dir=tmp_path / "data")
    server: Azurite | Supabase = request.getfixturevalue(SERVERS[request.param])
    return server.settings(new_name(), data_dir=tmp_path / "data")


@pytest.fixture
def azure(azurite: Azurite) -> Config:
    """The settings for Azure alone."""
    return azurite.settings(new_name())


@pytest.fixture(params=["azure", "supabase"])
def behind_proxy(request: pytest.FixtureRequest, hasty: None) -> Iterator[tuple[Proxy, Config]]:
    """A proxy in front of each store over HTTP, and the settings that lead through it."""
    server = request.getfixturevalue(SERVERS[request.param])
    with proxy(server.address) as running:
        yield running, server.settings(new_name(), running.address)


@pytest.fixture
def azure_behind_proxy(azurite: Azurite, hasty: None) -> Iterator[tuple[Proxy, Config]]:
    """The same for Azure alone."""
    with proxy(azurite.address) as running:
        yield running, azurite.settings(new_name(), running.address)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience with short pauses."""
    monkeypatch.setattr(retries, "FIRST_PAUSE", 0.01)


def new_name() -> str:
    return f"test-{uuid4().hex}"
