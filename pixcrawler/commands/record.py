"""`scrapy record SOURCE -a keywords=…`: writes what a source was asked and answered, for a person to read."""

from __future__ import annotations

import argparse
from pathlib import Path

from scrapy.commands import BaseRunSpiderCommand
from scrapy.exceptions import UsageError

from pixcrawler import recordings
from pixcrawler.commands import look_at
from pixcrawler.sources import spiders


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
        if len(args) != 1 or args[0] not in spiders():
            raise UsageError(f"expected one source of {', '.join(spiders())}", print_help=False)
        [source] = args
        seen = look_at(self, source, opts.spargs)
        answered = [look for look in seen if look.response is not None]
        for number, look in enumerate(answered, 1):
            folder = Path(opts.into, source, opts.case if number == 1 else f"{opts.case}_{number}")
            if folder.exists():
                raise UsageError(f"{folder} is there already; --case gives another name", print_help=False)
            recordings.write(folder, opts.spargs, look)
            print(f"{folder}: {len(look.items)} pictures; read it, then take out the line {recordings.UNREVIEWED!r}")
        if not answered:
            self.exitcode = 1
            print(f"{source} gave no answer: {seen[0].error if seen else 'see the log'}")
