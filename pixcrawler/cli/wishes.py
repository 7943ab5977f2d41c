"""What may be wanted of a dataset file, as options of commands."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pixcrawler.export_options import Encode, ExportOptions
from pixcrawler.jobs import ExportFormat

FORMATS = ", ".join(ExportFormat)

Resize = Annotated[str | None, typer.Option(help="Fill so many pixels, such as 512x512; what juts out is cut off.")]
MaxSide = Annotated[int | None, typer.Option(help="Make the longer side so many pixels at most.")]
EncodeAs = Annotated[str | None, typer.Option("--encode", help=f"Write pictures as {', '.join(Encode)}.")]
StripMetadata = Annotated[bool, typer.Option("--strip-metadata", help="Leave out what files say of themselves.")]
Split = Annotated[str | None, typer.Option(help="Shares, such as train=.8,val=.1,test=.1.")]
Seed = Annotated[int | None, typer.Option(help="Of the split; another one splits differently.")]
Ultra = Annotated[bool, typer.Option("--ultra", help="Have a 7z compress pictures too, for little and slowly.")]


def wishes(**given: Any) -> dict[str, Any]:
    """What was given and is not the default, checked, as it is stored. Raises `UsageError` naming the option."""
    said = {name: value for name, value in given.items() if value is not None and value is not False}
    return ExportOptions.parse(said).to_json()
