"""A dispatcher under test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from worlds import Node, World, serving

from pixcrawler.config import Config


@pytest.fixture
def node() -> Iterator[Node]:
    with serving(Node()) as node:
        yield node


@pytest.fixture
def settings(database_url: str, node: Node) -> Config:
    return Config(
        database_url=database_url,
        scrapyd_nodes=(f"{node.url}#4",),
        lease_seconds=60,
        retry_seconds=0.001,
        default_sources=("openverse",),
    )


@pytest.fixture
def world(settings: Config, node: Node, sql: Callable[..., list[tuple[Any, ...]]]) -> World:
    return World(settings, node, sql)
