"""The documents know everything that has a name."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

import pytest
import typer

from pixcrawler.cli import app
from pixcrawler.config import BASE_URL_PREFIX, Config
from pixcrawler.export.attribution import ATTRIBUTION
from pixcrawler.export.contact_sheet import INDEX
from pixcrawler.export.croissant import CROISSANT
from pixcrawler.export.labels import LABELS
from pixcrawler.export.texts import METADATA, METADATA_CSV
from pixcrawler.jobs import AttemptState, ExportState, JobState, Reason, RunState

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
DATASET = (ROOT / "docs" / "dataset.md").read_text(encoding="utf-8")

SETTING = re.compile(r"^\| `([A-Z][A-Z_]*(?:<SOURCE>)?)` \| (\S+) \| ", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


def variable(name: str) -> str:
    return str(Config.model_fields[name].validation_alias or f"PIXCRAWLER_{name.upper()}")


def shown(default: object) -> str:
    if default in (None, ()):
        return "unset"
    words = default if isinstance(default, tuple) else (default,)
    return "`" + ",".join(f"{word:g}" if isinstance(word, float) else str(word) for word in words) + "`"


def test_every_setting_is_documented_with_its_default() -> None:
    settings = {variable(name): shown(field.default) for name, field in Config.model_fields.items()}
    settings[f"{BASE_URL_PREFIX}<SOURCE>"] = "unset"
    assert dict(SETTING.findall(README)) == settings


@pytest.mark.parametrize("names", [JobState, RunState, AttemptState, ExportState, Reason])
def test_every_state_and_reason_is_explained(names: type[StrEnum]) -> None:
    assert not [name.value for name in names if not re.search(rf"^\|.*`{name}`.*\| ", OPERATIONS, re.MULTILINE)]


def test_every_command_is_documented() -> None:
    table = "\n".join(line for line in README.splitlines() if line.startswith("| `pixcrawler"))
    documented = set(re.findall(r"`pixcrawler ([a-z ]*[a-z])", table))
    assert documented == set(commands(typer.main.get_command(app)))


def commands(command: typer.core.TyperGroup | object, path: str = "") -> list[str]:
    children = getattr(command, "commands", None)
    if not children:
        return [path.strip()]
    itself = [path.strip()] if path and getattr(command, "invoke_without_command", False) else []
    return [*itself, *(name for word, child in children.items() for name in commands(child, f"{path} {word}"))]


def test_every_file_of_a_dataset_is_explained() -> None:
    for name in (METADATA, METADATA_CSV, ATTRIBUTION, *LABELS, INDEX, CROISSANT, "README.md", "manifest.json"):
        assert name in DATASET


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    links = LINK.findall(document.read_text(encoding="utf-8"))
    assert not [link for link in links if not (document.parent / link).exists()]
