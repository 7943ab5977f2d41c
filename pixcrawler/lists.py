"""Reads lists of image addresses as streams: txt, csv, tsv, jsonl (each also .gz) and parquet."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections import deque
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixcrawler.errors import UsageError
from pixcrawler.list_columns import (
    AS_KNOWN,
    COLUMNS,
    Columns,
    Line,
    address_of,
    checked_positions,
    guessed_positions,
    is_address,
    line_of,
    positions_of,
)

__all__ = ["COLUMNS", "Line", "read_lines"]

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

SAMPLE = 1 << 16  # bytes looked at to tell a list from another file
LINE_LIMIT = 1 << 20  # characters; rows of published lists stay below 10,000
RECORD_LINES = 50  # a quoted caption over more lines is a quote that never closes
ROWS = 1000

ANY_ADDRESS = re.compile(rb":(//|\\/\\/)")  # JSON may escape slashes
CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")


def read_lines(path: Path, *, start: int = 0, columns: Columns = AS_KNOWN) -> Iterator[tuple[int, Line]]:
    """Yields (data lines read so far, line) after the first `start` data lines.

    Blank lines, and comments of a txt, are no data lines. Raises `UsageError` naming the file.
    """
    number = start
    try:
        for number, line in enumerate(_lines(path, start, columns), start + 1):
            yield number, line
        if not number:
            raise UsageError("the list is empty")
    except UsageError as error:
        raise UsageError(f"{path.name}: {error}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"{path.name}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _lines(path: Path, start: int, columns: Columns) -> Iterator[Line]:
    kind = _kind(path)
    if kind == ".parquet":
        yield from _parquet(path, start, columns)
        return
    with _open(path) as file, io.TextIOWrapper(file, "utf-8-sig", "replace") as text:
        _refuse_other_files(file.peek(SAMPLE)[:SAMPLE])
        yield from READERS[kind](_physical_lines(text), start, columns)


def _kind(path: Path) -> str:
    if path.is_dir():
        raise UsageError("is a folder, not a list")
    if not path.is_file():
        raise UsageError("no such file")
    name = path.name.lower()
    kind = Path(name.removesuffix(".gz")).suffix
    if kind in READERS or (kind == ".parquet" and not name.endswith(".gz")):
        return kind
    raise UsageError("not a list; lists are .txt, .csv, .tsv, .jsonl (also .gz) and .parquet")


def _open(path: Path) -> io.BufferedReader[Any]:
    packed = path.suffix.lower() == ".gz"
    return io.BufferedReader(gzip.open(path) if packed else path.open("rb", buffering=0), SAMPLE)


def _refuse_other_files(head: bytes) -> None:
    if len(CONTROL.findall(head)) > max(8, len(head) // 20):  # text has none; compressed data has one byte in nine
        raise UsageError("not a list but a binary file")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise UsageError("not a list but a web page")
    if head.strip() and not ANY_ADDRESS.search(head):
        raise UsageError("not a list: no address at its beginning")


def _physical_lines(text: io.TextIOWrapper) -> Iterator[str]:
    while line := text.readline(LINE_LIMIT):
        ended = line
        while len(ended) == LINE_LIMIT and not ended.endswith("\n"):
            ended = text.readline(LINE_LIMIT)
        yield line.replace("\0", "")


def _txt(text: Iterator[str], start: int, columns: Columns) -> Iterator[Line]:
    lines = (line for line in map(str.strip, text) if line and not line.startswith("#"))
    for line in islice(lines, start, None):
        yield Line(address_of(line))


def _jsonl(text: Iterator[str], start: int, columns: Columns) -> Iterator[Line]:
    check = checked_positions
    for line in islice(filter(None, map(str.strip, text)), start, None):
        row = _json(line)
        if isinstance(row, dict):
            yield line_of(list(row.values()), check(list(row), columns))
            check = positions_of  # a later object may lack what the first one has
        else:
            yield Line(address_of(row if isinstance(row, str) else line))


def _json(line: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _csv(text: Iterator[str], start: int, columns: Columns) -> Iterator[Line]:
    return _table(_csv_records(text), start, columns)


def _tsv(text: Iterator[str], start: int, columns: Columns) -> Iterator[Line]:
    # A tab always parts cells and a line break always ends them: captions begin with stray quotes.
    records = ([_unquoted(cell) for cell in line.rstrip("\n").split("\t")] for line in text)
    return _table(records, start, columns)


def _unquoted(cell: str) -> str:
    quoted = len(cell) > 1 and cell[0] == cell[-1] == '"'
    return cell[1:-1].replace('""', '"') if quoted else cell


def _csv_records(text: Iterator[str]) -> Iterator[list[str]]:
    waiting: deque[str] = deque()
    while True:
        taken: list[str] = []
        try:
            yield next(csv.reader(_some(waiting, text, taken), strict=True))
        except StopIteration:
            return
        except csv.Error:  # a stray quote: it may not swallow the lines below it
            waiting.extendleft(reversed(taken[1:]))
            yield taken[0].rstrip("\n").split(",")


def _some(waiting: deque[str], text: Iterator[str], taken: list[str]) -> Iterator[str]:
    given_back = (waiting.popleft() for _ in range(len(waiting)))
    for line in islice(chain(given_back, text), RECORD_LINES):
        taken.append(line)
        yield line


def _table(records: Iterator[list[str]], start: int, columns: Columns) -> Iterator[Line]:
    rows = (record for record in records if any(map(str.strip, record)))
    first = next(rows, [])
    headless = any(map(is_address, first))
    if headless and not columns:
        positions = guessed_positions(first)
    else:
        positions = checked_positions(first, columns) if first else {}
    for row in islice(chain([first] if headless else [], rows), start, None):
        yield line_of(row, positions)


def _parquet(path: Path, start: int, columns: Columns) -> Iterator[Line]:
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path, buffer_size=SAMPLE, pre_buffer=False) as file:
            yield from _parquet_rows(file, start, columns)
    except ArrowException as error:
        raise UsageError(f"not a parquet file that can be read: {str(error).splitlines()[0]}") from None


def _parquet_rows(file: ParquetFile, start: int, columns: Columns) -> Iterator[Line]:
    names = file.schema_arrow.names
    places = checked_positions(names, columns)
    wanted = sorted({names[place] for place in places.values()})
    positions = {field: wanted.index(names[place]) for field, place in places.items()}
    groups, skip = _groups_after(file, start)
    batches = file.iter_batches(ROWS, row_groups=groups, columns=wanted, use_threads=False)
    rows = chain.from_iterable(zip(*(_cells(batch.column(name)) for name in wanted), strict=True) for batch in batches)
    for row in islice(rows, skip, None):
        yield line_of(row, positions)


def _groups_after(file: ParquetFile, rows: int) -> tuple[list[int], int]:
    for group in range(file.num_row_groups):
        size = file.metadata.row_group(group).num_rows
        if rows < size:
            return list(range(group, file.num_row_groups)), rows
        rows -= size
    return [], 0


def _cells(column: Any) -> list[object]:
    is_text = column.type in ("string", "large_string")
    cells: list[object] = (column.cast("large_binary") if is_text else column).to_pylist()  # not always valid UTF-8
    return cells


READERS = {".txt": _txt, ".csv": _csv, ".tsv": _tsv, ".jsonl": _jsonl}
