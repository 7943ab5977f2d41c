"""What a crawl process is started with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from scrapyd.environ import Environment

from pixcrawler.config import crawl_environment
from pixcrawler.scrapyd_node.runner import LAUNCHER


class CrawlEnvironment(Environment):
    """Scrapyd's, with the variables a crawl needs in place of all that the node has: its password, others' secrets."""

    def __init__(self, config: Any) -> None:
        super().__init__(config, initenv=crawl_environment())

    def get_environment(self, message: Mapping[str, Any], slot: int) -> dict[str, str]:
        """The variables, and who the launcher is."""
        return {**super().get_environment(message, slot), LAUNCHER: str(os.getpid())}
