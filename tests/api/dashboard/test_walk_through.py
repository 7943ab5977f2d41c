"""What people do with the dashboard, in a real Chromium on everything that `pixcrawler up` runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from chromium import ACCESSIBILITY, ARTEFACTS, needs_chromium
from npm import install
from playwright.sync_api import Browser, Locator, Page, expect

from pixcrawler.demo.source import DemoSource
from pixcrawler.services import free_port

ROOT = Path(__file__).parents[3]

IMAGES = 24
JOB_SECONDS = 90_000  # milliseconds; ten seconds on an idle machine

pytestmark = needs_chromium


@contextmanager
def running(database_url: str, data_dir: Path, source: DemoSource) -> Iterator[str]:
    """`pixcrawler up`; yields its address."""
    port = free_port()
    env = os.environ | {
        "DATABASE_URL": database_url,
        "PIXCRAWLER_DATA_DIR": str(data_dir),
        "PORT": str(port),
        "SCRAPYD_NODES": f"http://127.0.0.1:{free_port()}#2",
        "PIXCRAWLER_BASE_URL_OPENVERSE": source.url,
        "PIXCRAWLER_ALLOW_HOSTS": source.url.removeprefix("http://").rstrip("/"),
        "PIXCRAWLER_DEFAULT_SOURCES": "openverse",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "pixcrawler.cli", "up"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = next(found[1] for line in process.stdout if (found := re.search(r"runs at (http:\S+),", line)))
            assert address == f"http://127.0.0.1:{port}"
            yield address
        finally:
            process.terminate()
    assert left_behind(data_dir) == []


def left_behind(data_dir: Path) -> list[str]:
    """Command lines of processes that work for this folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("PIXCRAWLER_DATA_DIR") == str(data_dir):
                found.append(" ".join(process.cmdline()))
    return found


@pytest.fixture(scope="module")
def address(shared_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("up")
    with DemoSource(slow_seconds=1) as source, running(shared_database_url, folder, source) as address:
        yield address


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """At the end it must have said nothing, and asked nobody but us."""
    with browser.new_context(viewport={"width": 1280, "height": 900}, base_url=address) as context:
        page = context.new_page()
        complaints: list[str] = []
        requests: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        context.on("request", lambda request: requests.append(request.url))
        yield page
        assert complaints == []
        assert [url for url in requests if not url.startswith((address, "data:"))] == []


def tab(page: Page, name: str) -> None:
    page.get_by_role("navigation", name="Of this job").get_by_role("link", name=name).click()
    expect(page.get_by_role("link", name=name, exact=True)).to_have_attribute("aria-current", "page")


def tiles(page: Page) -> Locator:
    return page.locator("#more li")


def state(page: Page, word: str) -> None:
    expect(page.locator("#state .badge")).to_have_text(word, timeout=JOB_SECONDS)


def shot(page: Page, name: str) -> None:
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=ARTEFACTS / f"dashboard-{name}.png")


def require_usable(page: Page, name: str) -> None:
    """Nothing keeps people from using the page, light or dark."""
    install(ACCESSIBILITY)
    axe = (ACCESSIBILITY / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
    page.evaluate(axe)
    for scheme, rules in {"light": {}, "dark": {"runOnly": ["color-contrast"]}}.items():
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # one of the two
        shot(page, f"{name}-{scheme}")
        found: Any = page.evaluate("rules => axe.run(rules)", rules)
        assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found["violations"]] == []
    page.emulate_media(color_scheme="light")


@pytest.mark.timeout(240)
def test_from_a_wish_to_a_dataset(page: Page, tmp_path: Path) -> None:
    page.goto("/")
    expect(page.get_by_role("heading", name="No dataset yet")).to_be_visible()
    require_usable(page, "empty")
    page.get_by_role("link", name="Ask for the first one").click()

    # A form that says what is wrong before it is sent.
    page.get_by_label("Keywords", exact=True).fill("mountain lake, Mountain Lake")
    expect(page.locator("#keywords-notes .wrong")).to_have_text("the same one twice")
    page.get_by_label("Keywords", exact=True).fill("mountain lake")
    expect(page.locator(".wrong")).to_have_count(0)
    page.get_by_label("Images", exact=True).fill(str(IMAGES))
    page.get_by_label("openverse").check()
    require_usable(page, "new-job")
    page.get_by_role("button", name="Start the job").click()

    # The page of the job goes on by itself to its end.
    expect(page.get_by_role("heading", name="mountain lake")).to_be_visible()
    page.evaluate("() => { window.neverLoadedAgain = true; }")
    state(page, "crawling")
    state(page, "complete")
    expect(page.locator("#state")).to_contain_text(f"All {IMAGES} images are there.")
    expect(page.locator("#funnel .kept")).to_contain_text(str(IMAGES))
    expect(page.locator("#sources")).to_contain_text("openverse")
    assert page.evaluate("() => window.neverLoadedAgain")
    require_usable(page, "job")

    # Its pictures, by their licence; and one of them, with all that is known of it.
    tab(page, "Pictures")
    expect(tiles(page)).to_have_count(IMAGES)
    page.wait_for_function("() => [...document.images].slice(0, 12).every((i) => i.complete && i.naturalWidth > 0)")
    require_usable(page, "pictures")
    option = page.get_by_label("Licence").locator("option", has_text="CC BY 4.0")
    number = int(re.search(r"\((\d+)\)", option.inner_text())[1])  # type: ignore[index]
    page.get_by_label("Licence").select_option(option.get_attribute("value"))
    expect(tiles(page)).to_have_count(number)
    assert 0 < number < IMAGES
    tiles(page).first.get_by_role("link").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("CC BY 4.0")
    expect(dialog).to_contain_text("name its maker")
    expect(dialog.get_by_role("link", name="photos/")).to_have_attribute("href", re.compile("^http://127.0.0.1:"))
    require_usable(page, "picture")
    title = dialog.get_by_role("heading").inner_text()
    page.keyboard.press("ArrowLeft")
    expect(dialog.get_by_role("heading")).not_to_have_text(title)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(tiles(page).first.get_by_role("link")).to_be_focused()

    # What was not kept, and for whom; who worked, and what they said.
    tab(page, "Not kept")
    require_usable(page, "not-kept")
    tab(page, "Duplicates")
    require_usable(page, "duplicates")
    tab(page, "Runs")
    require_usable(page, "runs")
    page.get_by_role("link", name="Log").first.click()
    expect(page.get_by_label("Log")).to_contain_text("Spider closed")
    require_usable(page, "log")

    # The dataset, and another one.
    tab(page, "Datasets")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    download.value.save_as(tmp_path / "dataset.zip")
    with zipfile.ZipFile(tmp_path / "dataset.zip") as dataset:
        pictures = [name for name in dataset.namelist() if name.startswith("mountain_lake/")]
    assert len(pictures) >= IMAGES
    page.get_by_label("Format").select_option("csv")
    page.get_by_role("button", name="Build it").click()
    page.get_by_text(re.compile(r"^\d+ files$")).click(timeout=JOB_SECONDS)
    with page.expect_download() as download:
        page.get_by_role("link", name="metadata.csv").click()
    assert len(download.value.path().read_text(encoding="utf-8").splitlines()) > IMAGES
    require_usable(page, "datasets")

    page.set_viewport_size({"width": 360, "height": 740})
    for path in ("", "/pictures", "/rejected", "/runs", "/datasets"):
        page.goto(re.sub(r"(/jobs/\d+).*", rf"\1{path}", page.url))
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 360, path
    shot(page, "narrow")


def test_a_job_is_stopped(page: Page) -> None:
    page.goto("/jobs/new")
    page.get_by_label("Keywords", exact=True).fill("city night")
    page.get_by_role("button", name="Start the job").click()
    state(page, "crawling")
    page.get_by_role("button", name="Cancel").click()
    page.goto("/")
    require_usable(page, "jobs")
    expect(page.get_by_role("row", name="city night")).to_contain_text("cancelled", timeout=JOB_SECONDS)
    page.get_by_role("link", name="city night").click()
    state(page, "cancelled")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()


def test_whatever_else_there_is(page: Page) -> None:
    page.goto("/")
    for name in ("Projects", "Sources", "Nodes", "Notifications", "Usage", "API keys"):
        page.get_by_role("navigation", name="Main").get_by_role("link", name=name).click()
        expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
        if name == "Nodes":  # a real one, and it works
            expect(page.locator("#nodes")).to_contain_text(re.compile("idle|at work"))
            expect(page.locator("#nodes")).not_to_contain_text("missing")
        require_usable(page, name.lower().replace(" ", "-"))
    page.get_by_label("Name").fill("importer")
    page.get_by_role("button", name="Make it").click()
    expect(page.locator(".once")).to_contain_text("pxc_")
    require_usable(page, "new-api-key")
