"""`pixcrawler takedown`: says what it does, and remembers it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

SHA256 = "9F" * 32


def test_what_was_taken_back_is_listed(cli: Cli) -> None:
    cli("db", "init")
    assert cli("takedown", "--sha256", SHA256, "--dry-run").out == "0 pictures of 0 jobs would be taken back\n"
    assert cli("takedown", "--list", "--json").out == "[]\n"
    told = json.loads(cli("takedown", "--sha256", SHA256, "--reason", "it is mine", "--json").out)
    assert told == {"kind": "sha256", "value": SHA256.lower(), "dry_run": False, "jobs": []}
    [row] = json.loads(cli("takedown", "--list", "--json").out)
    assert (row["kind"], row["value"], row["reason"], row["removed"]) == ("sha256", SHA256.lower(), "it is mine", 0)
    assert "it is mine" in cli("takedown", "--list").out


def test_wrong_use(cli: Cli) -> None:
    assert cli("takedown").err == "pixcrawler: expected one of --url, --creator, --sha256 and --list\n"
    assert cli("takedown", "--creator", "Ada").err == "pixcrawler: reason: expected why it is taken back\n"
