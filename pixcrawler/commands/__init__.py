"""Commands of `scrapy` beside its own, see COMMANDS_MODULE in settings: files are named like them.

What they need is imported when they run: every `scrapy crawl` loads all commands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy.commands import BaseRunSpiderCommand

from pixcrawler.crawling import leave
from pixcrawler.errors import UsageError

if TYPE_CHECKING:
    from pixcrawler.probing import Look

NOTHING_ELSE: dict[str, dict[str, int]] = {"EXTENSIONS": {}, "ITEM_PIPELINES": {}}


def source_of(command: str, args: list[str]) -> str:
    """The one source a command was given; ends the process with a line where it was not."""
    from pixcrawler.sources import spiders

    if len(args) != 1 or args[0] not in spiders():
        leave(UsageError(f"{command}: expected one source of {', '.join(spiders())}"))
    return args[0]


def look_at(command: BaseRunSpiderCommand, source: str, arguments: dict[str, str]) -> list[Look]:
    """What a source answers to its first questions. Raises `KeyError` if there is no such source."""
    from pixcrawler.probing import probe_of
    from pixcrawler.sources import spiders

    seen: list[Look] = []
    assert command.crawler_process is not None
    assert command.settings is not None
    command.settings.update(NOTHING_ELSE, priority="cmdline")
    command.crawler_process.crawl(probe_of(spiders()[source], seen.extend), **arguments)
    command.crawler_process.start()
    return seen
