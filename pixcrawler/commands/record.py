"""`scrapy record SOURCE -a keywords=…`: writes what a source was asked and answered, for a person to read."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from scrapy.commands import BaseRunSpiderCommand

from pixcrawler.commands import look_at, source_of
from pixcrawler.config import config
from pixcrawler.crawling import leave
from pixcrawler.errors import UsageError


class Command(BaseRunSpiderCommand):
    """Every answer becomes a recording that the tests refuse until somebody has read it."""

    requires_project = True

    def syntax(self) -> str:
        return "<source> -a keywords=… [--into DIR] [--case NAME]"

    def short_desc(self) -> str:
        return "Record what a source is asked and answers"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument("--into", metavar="DIR", default="tests/spiders", help="the folder of recordings")
        parser.add_argument("--case", metavar="NAME", default="recorded", help="what to call them")

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        from pixcrawler import recordings

        source = source_of("record", args)
        ours = config().base_url(source)
        arguments = opts.spargs | ({"base_url": ours} if ours else {})  # what is recorded can be asked again anywhere
        home = Path(opts.into, source)
        for folder in (*home.glob(opts.case), *home.glob(f"{opts.case}_[0-9]*")):
            leave(UsageError(f"{folder} is there already; --case gives another name"))
        seen = look_at(self, source, arguments)
        answered = [look for look in seen if look.response is not None]
        for number, look in enumerate(answered, 1):
            folder = home / (opts.case if number == 1 else f"{opts.case}_{number}")
            recordings.write(folder, arguments, look)
            found = look.error or f"{len(look.items)} pictures"
            print(f"{folder}: {found}; read it, then take out the line {recordings.UNREVIEWED!r}")
        if not answered:
            self.exitcode = 1
            print(f"{source} gave no answer: {seen[0].error if seen else 'see the log'}", file=sys.stderr)
