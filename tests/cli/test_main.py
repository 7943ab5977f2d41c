import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pixcrawler.cli import jobs
from pixcrawler.config import source_names


def test_without_a_command_it_helps(cli: Any) -> None:
    result = cli()
    assert "up" in result.out + result.err


@pytest.mark.parametrize("command", ["up", "demo", "dispatcher", "exporter", "api", "db", "jobs", "export", "sources"])
def test_every_command_explains_itself(cli: Any, command: str) -> None:
    result = cli(command, "--help")
    assert (result.status, result.err) == (0, "")


def test_an_unknown_command_is_one_line(cli: Any) -> None:
    result = cli("frobnicate")
    assert (result.status, result.out, result.err.count("\n")) == (2, "", 1)


def test_sources_lists_all_with_a_description(cli: Any) -> None:
    found = json.loads(cli("sources", "--json").out)
    assert [source["name"] for source in found] == list(source_names())
    assert all(source["description"] for source in found)
    for source in found:
        assert source["name"] in cli("sources").out


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("postgresql://nobody@127.0.0.1:1/nothing", "127.0.0.1:1/nothing"),
        ("mysql://root@localhost/pix", "mysql"),
        ("not an address", "DATABASE_URL"),
    ],
)
def test_a_wrong_database_url_is_one_line(cli: Any, settings_env: Any, url: str, word: str) -> None:
    settings_env(DATABASE_URL=url)
    result = cli("jobs", "list")
    assert (result.status, result.out, result.err.count("\n")) == (2, "", 1)
    assert word in result.err


def test_a_password_is_never_shown(cli: Any, settings_env: Any) -> None:
    settings_env(DATABASE_URL="postgresql://me:sesame@127.0.0.1:1/nothing")
    assert "sesame" not in cli("jobs", "list").err


def test_a_wrong_setting_is_one_line(cli: Any, settings_env: Any) -> None:
    settings_env(PIXCRAWLER_MIN_SIDE="wide")
    result = cli("jobs", "list")
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert "PIXCRAWLER_MIN_SIDE" in result.err


def test_a_data_folder_that_cannot_be_written_is_one_line(cli: Any, settings_env: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings_env(PIXCRAWLER_DATA_DIR=str(tmp_path / "file" / "data"))
    result = cli("up")
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert str(tmp_path / "file") in result.err


@pytest.mark.parametrize("error", [RuntimeError("the moon\nis full"), sqlite3.Error("odd")])
def test_an_unforeseen_error_is_one_line_and_told_in_a_file(
    cli: Any, data_dir: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(jobs, "query", fail)
    result = cli("jobs", "list")
    log = data_dir / "logs" / "pixcrawler.log"
    assert result.status == 1
    assert result.err == f"pixcrawler: {type(error).__name__}: {' '.join(str(error).split())}; more in {log}\n"
    assert "Traceback" in log.read_text()


def test_debugging_shows_the_traceback(cli: Any, settings_env: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("the moon is full")

    settings_env(LOG_LEVEL="DEBUG")
    monkeypatch.setattr(jobs, "query", fail)
    with pytest.raises(RuntimeError, match="moon"):
        cli("jobs", "list")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interruption_is_quiet(cli: Any, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(jobs, "query", lambda _: signal.raise_signal(number))
    result = cli("jobs", "list")
    assert (result.status, result.out, result.err) == (130, "", "")


# -- db


def test_db_init_makes_an_empty_database_ours(cli: Any, settings_env: Any, empty_database_url: str) -> None:
    settings_env(DATABASE_URL=empty_database_url)
    refused = cli("jobs", "list")
    assert (refused.status, refused.err.count("\n")) == (2, 1)
    assert "DATABASE_URL" in refused.err
    assert cli("db", "check").status == 1
    assert cli("db", "init").status == 0
    assert cli("db", "check").status == 0
    assert cli("db", "upgrade").status == 0
    assert json.loads(cli("jobs", "list", "--json").out) == []


def test_db_check_names_a_missing_column(cli: Any, sql: Any) -> None:
    sql("ALTER TABLE public.crawl_jobs DROP COLUMN valid_images")
    result = cli("db", "check")
    assert result.status == 1
    assert "valid_images" in result.out
    refused = cli("jobs", "list")
    assert (refused.status, refused.err.count("\n")) == (2, 1)
    assert "valid_images" in refused.err


@pytest.mark.skipif(sys.platform == "win32", reason="no embedded PostgreSQL")
def test_without_a_database_url_the_embedded_server_is_joined(
    cli: Any, data_dir: Path, monkeypatch: pytest.MonkeyPatch, settings_env: Any
) -> None:
    monkeypatch.delenv("DATABASE_URL")
    settings_env()
    assert cli("jobs", "create", "--keywords=otter", "--max-images=5").status == 0
    (job,) = json.loads(cli("jobs", "list", "--json").out)
    assert job["keywords"] == ["otter"]
    assert (data_dir / "postgres").is_dir()


def test_a_shell_is_told_how_to_go_on(tmp_path: Path) -> None:
    """Without a look at the database, or at anything else."""
    asked = {"_PIXCRAWLER_COMPLETE": "complete_bash", "COMP_WORDS": "pixcrawler jobs c", "COMP_CWORD": "2"}
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DATABASE_URL": "nonsense", **asked}
    command = [str(Path(sys.executable).with_name("pixcrawler"))]
    told = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert told.stdout.split() == ["create", "cancel"]
    assert told.stderr == ""
    assert list(tmp_path.iterdir()) == []
