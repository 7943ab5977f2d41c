"""What is in deploy/, as far as it can be checked where there is no systemd, Docker, Prometheus or Azure."""

from __future__ import annotations

import re
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

from pixcrawler.config import Config
from pixcrawler.db.gauges import GAUGES
from pixcrawler.metrics import CRAWLS, PROCESS
from pixcrawler.scrapyd_node import metrics as node

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
UNITS = sorted(DEPLOY.glob("systemd/*.service"))
METRIC = re.compile(r"\bpixcrawler_[a-z_]+")
SUFFIX = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""]}
WORST = 20  # tenths; systemd-analyze rates a service from 0 to 100, and calls what is below 50 "OK"


def metrics() -> dict[str, set[str]]:
    """Every metric, and the names its samples have."""
    told = {f"pixcrawler_{name}": {""} for name in [*GAUGES, "database_up", *(f"node_{name}" for name in node.GAUGES)]}
    counted = {family.name: set(SUFFIX[family.type]) for family in [*CRAWLS.collect(), *PROCESS.collect()]}
    return told | counted


def test_alerts_ask_for_metrics_that_exist() -> None:
    exist = {name + suffix for name, suffixes in metrics().items() for suffix in suffixes}
    rules = (DEPLOY / "prometheus-rules.yaml").read_text(encoding="utf-8")
    asked = set(METRIC.findall(rules))
    assert len(asked) > 10
    assert asked <= exist


def test_every_metric_is_explained() -> None:
    operations = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    table = [line for line in operations.splitlines() if line.startswith("| `pixcrawler_")]
    explained = {name for line in table for name in METRIC.findall(line)}
    assert explained == {f"{name}_total" if "_total" in suffixes else name for name, suffixes in metrics().items()}


def unit(path: Path) -> ConfigParser:
    parser = ConfigParser(interpolation=None, strict=False, delimiters=["="])
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(path, encoding="utf-8")
    return parser


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_who_crawls_owns_no_code_and_gains_no_rights(path: Path) -> None:
    service = unit(path)["Service"]
    assert service["ExecStart"].startswith("/opt/")
    wanted = {
        "User": "pixcrawler",
        "UMask": "0077",
        "LimitCORE": "0",
        "NoNewPrivileges": "yes",
        "CapabilityBoundingSet": "",
        "ProtectSystem": "strict",  # all but the data folder, /opt included, is read-only
        "StateDirectory": "pixcrawler",
    }
    assert {name: service[name] for name in wanted} == wanted
    assert "ReadWritePaths" not in service
    assert {"LimitNOFILE", "TasksMax", "MemoryMax"} <= set(service)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd here")
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_thinks_well_of_it(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / path.name.replace("@", "@dispatcher")
    copy.write_bytes(path.read_bytes())
    command = ["systemd-analyze", "security", "--no-pager", "--offline=true", f"--threshold={WORST}", str(copy)]
    rated = subprocess.run(command, capture_output=True, text=True)
    assert rated.returncode == 0, rated.stdout[-2000:]
    verified = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True)
    complaints = [line for line in verified.stderr.splitlines() if "is not executable" not in line]
    assert complaints == []


def test_only_settings_that_exist_are_set() -> None:
    known = {str(field.validation_alias or f"PIXCRAWLER_{name.upper()}") for name, field in Config.model_fields.items()}
    set_ = {
        name
        for file in [*UNITS, DEPLOY / "Dockerfile", DEPLOY / "compose.yaml"]
        for name in re.findall(r"\bPIXCRAWLER_[A-Z_]+", file.read_text(encoding="utf-8"))
    }
    assert len(set_) > 3
    assert set_ <= known
