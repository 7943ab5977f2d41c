"""Text of strangers inside Markdown and CSV: shown as it is, never obeyed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote

# Ends of lines, control characters, halves of characters, and marks that turn the direction of the text after them.
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")
# What Markdown gives a meaning to within a line, and where bare addresses begin.
MEANINGFUL = re.compile(r"[\\`*_\[\]<>|~&$@]|:(?=//)|(?<=www)\.", re.IGNORECASE)
# What spreadsheets take for the beginning of a formula.
FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def one_line(text: str) -> str:
    """The text without control characters and in one line, as UTF-8 can hold it."""
    return " ".join(UNPRINTABLE.sub(" ", text).split())


def escaped(text: str, length: int = 300) -> str:
    """The text as Markdown shows it: one line of at most `length` characters."""
    line = one_line(text)
    return MEANINGFUL.sub(r"\\\g<0>", line if len(line) <= length else line[: length - 1] + "…")


def link(url: str) -> str:
    """The address as a link, or as mere text if a browser should not follow it."""
    if not re.match(r"https?://", url, re.IGNORECASE):
        return escaped(url)
    return "<" + quote(url, safe="%/:?=&#+,;@!'()*[]~", errors="replace") + ">"


def table(header: Sequence[str], rows: Iterable[Sequence[str | int]]) -> str:
    """A table; its cells are Markdown already."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(str(cell) for cell in line)} |\n" for line in lines)


def cell(text: str) -> str:
    """The text as a spreadsheet shows it: an apostrophe keeps it from being a formula."""
    line = one_line(text)
    return f"'{line}" if line.startswith(FORMULA) else line
