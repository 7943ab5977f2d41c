"""What may be wanted of a dataset file, as requests say it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt

from pixcrawler.api.state import Plain
from pixcrawler.export_options import MAX_SEED, MAX_SIDE, Encode
from pixcrawler.jobs import KEYWORD_LENGTH, MAX_KEYWORDS

Word = Annotated[Plain, Field(min_length=1, max_length=KEYWORD_LENGTH[-1])]


class Wishes(BaseModel):
    """How pictures are rewritten, split and chosen. The defaults leave every picture as it is served."""

    model_config = ConfigDict(extra="forbid")

    resize: Plain | None = Field(None, max_length=20, examples=["512x512"], description="Filled; the rest is cut off.")
    max_side: StrictInt | None = Field(None, ge=1, le=MAX_SIDE, description="Pixels of the longer side, at most.")
    encode: Encode | None = None
    strip_metadata: StrictBool | None = None
    split: dict[Plain, float] | None = Field(None, max_length=3, examples=[{"train": 0.8, "val": 0.2}])
    seed: StrictInt | None = Field(None, ge=0, le=MAX_SEED, description="Of the split.")
    rights: Plain | None = Field(None, max_length=40, examples=["commercial"])
    sources: list[Word] | None = Field(None, max_length=50)
    keywords: list[Word] | None = Field(None, max_length=MAX_KEYWORDS)
    ultra: StrictBool | None = Field(None, description="A 7z compresses pictures too, for little and slowly.")
