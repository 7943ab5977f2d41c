"""Scrapyd nodes under test, and a dispatcher that fills the database they are asked about."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from scrapyd_node.nodes import Node, Start
from worlds import node, settings, world

__all__ = ["node", "settings", "world"]


@pytest.fixture
def scrapyd(tmp_path: Path) -> Iterator[Start]:
    """`scrapyd(max_proc="1", DATABASE_URL=…)`: a running node; options in lower case, variables in upper case."""
    nodes: list[Node] = []

    def start(**given: str) -> Node:
        options = {name: value for name, value in given.items() if name.islower()}
        variables = {name: value for name, value in given.items() if not name.islower()}
        nodes.append(Node(tmp_path / "node", options, variables))
        nodes[-1].start()
        return nodes[-1]

    yield start
    for one in nodes:
        one.end()
