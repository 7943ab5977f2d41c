"""Makes Scrapy's log JSON: its own handler knows only lines."""

from __future__ import annotations

import logging

from scrapy.settings import BaseSettings

from pixcrawler.logs import JsonFormatter


class JsonLog:
    """An add-on: these come before all that has a word to say."""

    @classmethod
    def update_pre_crawler_settings(cls, settings: BaseSettings) -> None:
        """Takes the place of Scrapy's handler."""
        settings.set("LOG_INSTALL_ROOT_HANDLER", False, "addon")
        file = settings.get("LOG_FILE")
        # Scrapy closes all handlers once; one that appends opens its file again.
        handler = logging.FileHandler(file, "a", encoding="utf-8") if file else logging.StreamHandler()
        handler.setFormatter(JsonFormatter())
        handler.setLevel(settings.get("LOG_LEVEL"))
        logging.root.setLevel(logging.NOTSET)
        logging.root.addHandler(handler)
