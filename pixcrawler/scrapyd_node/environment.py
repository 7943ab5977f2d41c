"""What a crawl process is started with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from scrapyd.environ import Environment

from pixcrawler.config import crawl_environment, source_key
from pixcrawler.scrapyd_node.runner import LAUNCHER
from pixcrawler.sources import spiders


class CrawlEnvironment(Environment):
    """Scrapyd's, with the variables a crawl needs in place of all that the node has: its password, others' secrets."""

    def __init__(self, config: Any) -> None:
        super().__init__(config, initenv=crawl_environment())
        self._keys = {name: spider.key for name, spider in spiders().items() if spider.key}

    def get_environment(self, message: Mapping[str, Any], slot: int) -> dict[str, str]:
        """The variables, the key of the source that is crawled and no other's, and who the launcher is."""
        variables = {**super().get_environment(message, slot), LAUNCHER: str(os.getpid())}
        key = self._keys.get(message["_spider"])
        secret = source_key(key) if key else None
        return variables | ({key.variable: secret.get_secret_value()} if key and secret else {})
