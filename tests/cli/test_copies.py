"""`pixcrawler duplicates`: who was dropped for whom, as a table, as JSON, and as a page that asks nobody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Cli
    from tests.conftest import Sql

ROWS = """
    INSERT INTO public.crawl_jobs (id, project_id, name, keywords)
        SELECT 5, min(id), 'n', '["cat"]' FROM public.projects;
    INSERT INTO crawler.jobs (id, state, keywords, asked) VALUES (5, 'crawling', '["cat"]', 9);
    INSERT INTO public.images (id, crawl_job_id, original_url, filename, storage_url)
        VALUES (7, 5, 'https://a.example/<b>', 'cat/1.jpg', 'file:///data/1.jpg');
    INSERT INTO crawler.runs (job, generation, source, slices, state) VALUES (5, 1, 's', '{}', 'running');
    INSERT INTO crawler.candidates (run, url_key, job, keyword, item, decision, duplicate_of, distance, likeness)
        SELECT id, 'k', 5, 'cat', '{"url": "https://b.example/<i>", "source": "s"}', 'near_duplicate', 7, 12, 0.98
        FROM crawler.runs;
"""


@pytest.fixture
def rows(cli: Cli, sql: Sql) -> None:
    cli("db", "init")
    for statement in ROWS.split(";\n"):
        if statement.strip():
            sql(statement)


@pytest.mark.usefixtures("rows")
def test_duplicates_are_shown(cli: Cli, tmp_path: Path) -> None:
    shown = cli("duplicates", 5)
    assert shown.status == 0
    assert "1 pictures were dropped for 1 others" in shown.out
    assert "near_duplicate" in shown.out
    [group] = json.loads(cli("duplicates", 5, "--json").out)
    assert (group["image"], group["file"], group["job"]) == (7, "cat/1.jpg", 5)
    assert [(each["distance"], each["likeness"]) for each in group["dropped"]] == [(12, pytest.approx(0.98))]
    page = tmp_path / "page.html"
    assert cli("duplicates", 5, "--html", page) == (0, "", "")
    text = page.read_text("utf-8")
    assert '<img src="file:///data/1.jpg"' in text
    assert "https://b.example/&lt;i&gt; (near duplicate, 12 bits of 256, likeness 0.980)" in text
    assert "<i>" not in text
    assert "<b>https" not in text


def test_of_a_job_there_is_not(cli: Cli) -> None:
    assert cli("duplicates", 6) == (2, "", "pixcrawler: there is no job 6; see: pixcrawler jobs list\n")
