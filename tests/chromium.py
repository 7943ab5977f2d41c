"""The system's Chromium, and where tests with it find and leave things."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from pixcrawler.config import Config

CHROMIUM = Config().chromium
ACCESSIBILITY = Path(__file__).parent / "accessibility"  # axe-core
ARTEFACTS = Path(__file__).parents[1] / "data" / "test-artefacts"  # screenshots

needs_chromium = pytest.mark.skipif(
    not CHROMIUM.is_file() and not os.environ.get("CI"), reason=f"there is no {CHROMIUM}"
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser until the end of the block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()
