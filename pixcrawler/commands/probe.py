"""`scrapy probe SOURCE`: asks a source's golden query and says, as JSON, whether it can still be read."""

from __future__ import annotations

import argparse
import json

from scrapy.commands import BaseRunSpiderCommand

from pixcrawler.commands import look_at, source_of


class Command(BaseRunSpiderCommand):
    """What `pixcrawler sources check` runs for each source."""

    requires_project = True

    def syntax(self) -> str:
        return "<source>"

    def short_desc(self) -> str:
        return "Check whether a source can still be read"

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        from pixcrawler.probing import filled, verdict
        from pixcrawler.sources import spiders

        name = source_of("probe", args)
        source = spiders()[name]
        looks = look_at(self, name, {"keywords": source.golden, **opts.spargs})
        state, reason = verdict(source, looks) if looks else (None, "an error of our own; see the log")
        items = [item for look in looks for item in look.items]
        report = {"query": source.golden, "pictures": len(items), "fields": filled(items, source.fields)}
        print(json.dumps({"state": state, "reason": reason, "report": report}))
