"""What the card says of a format and its options: what readers take, where pictures lie, what was done to them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pixcrawler.export_options import Encode, ExportOptions
from pixcrawler.jobs import ExportFormat
from pixcrawler.rights import Policy

# What has the pictures in folders, and what has them at all.
FOLDERS = frozenset({ExportFormat.ZIP, ExportFormat.SEVEN_ZIP})
WITH_PICTURES = FOLDERS | {ExportFormat.WEBDATASET, ExportFormat.PARQUET}


class Layout(NamedTuple):
    """How a format is read."""

    files: tuple[str, ...]  # of one split: {folder} is "train/", {shard} is "train"; without splits "" and "shard"
    pictures: str  # where they are
    load: str  # Python


_FROM_DATASETS = "from datasets import load_dataset\n"
_WEBDATASET = """from webdataset import WebDataset
WebDataset("the folder/{shard}-000000.tar")  # or load_dataset("the folder"), if all pictures are of one format"""
_FOLDER = _FROM_DATASETS + 'load_dataset("the folder")'

_IN_FOLDERS = Layout(
    ("{folder}metadata.jsonl", "{folder}*/*"),
    "`{folder}<keyword>/<number>_<hash>.<extension>`: the pictures; the hash is the beginning of their SHA-256",
    _FROM_DATASETS + 'load_dataset("imagefolder", data_dir="the unpacked folder")',
)
_LAYOUTS = {
    ExportFormat.ZIP: _IN_FOLDERS._replace(load=_IN_FOLDERS.load + '  # or data_files="the ZIP"'),
    ExportFormat.SEVEN_ZIP: _IN_FOLDERS,
    ExportFormat.WEBDATASET: Layout(
        ("{shard}-*.tar",),
        "`{shard}-<number>.tar`: the pictures; beside each `.json`, what is known of it, `.cls` and `.txt`, its label",
        _WEBDATASET,
    ),
    ExportFormat.PARQUET: Layout(
        ("{shard}-*.parquet",),
        "`{shard}-<number>.parquet`: the pictures, their labels, and what is known of them",
        _FOLDER,
    ),
    ExportFormat.CSV: Layout(
        ("metadata.csv",),
        "`metadata.csv`: what is known of each picture; an apostrophe stands before what looks like a formula",
        _FOLDER,
    ),
    ExportFormat.JSONL: Layout(
        ("metadata.jsonl",),
        "",
        _FOLDER,
    ),
}


def data_files(kind: ExportFormat, splits: Iterable[str]) -> str:
    """The files of each split, YAML as Hugging Face reads it; the split "" is all there is."""
    files = _LAYOUTS[kind].files
    if not any("{" in file for file in files):
        splits = [""]  # one file for all
    lines = []
    for split in splits:
        lines.append(f"  - split: {split or 'train'}\n    path:\n")
        lines += [f'    - "{_filled(file, split)}"\n' for file in files]
    return "".join(lines)


def files(kind: ExportFormat, splits: Iterable[str]) -> str:
    """Where pictures are, and what is known of them: lines of a list."""
    split = "<split>" if any(splits) else ""
    known = "{folder}" * (kind in FOLDERS) + "metadata.jsonl"
    lines = [
        _LAYOUTS[kind].pictures,
        "`index.html`: all pictures at a glance, with what is known of each; open it in a browser" * (kind in FOLDERS),
        f"`{known}`: what is known of each picture, one per line; empty means unknown",
    ]
    return "\n".join(f"- {_filled(line, split)}" for line in lines if line)


def load(kind: ExportFormat, splits: Iterable[str]) -> str:
    """How they are loaded, Python."""
    return _filled(_LAYOUTS[kind].load, next(iter(splits)))


def _filled(text: str, split: str) -> str:
    return text.replace("{folder}", split and f"{split}/").replace("{shard}", split or "shard")


def choice(options: ExportOptions) -> str:
    """Which pictures the options let through; "": all."""
    words = {
        f"whose rights are within {options.rights}": options.rights != Policy.ANY,
        f"from {', '.join(options.sources)}": options.sources,
        f"of {', '.join(options.keywords)}": options.keywords,
    }
    return ", ".join(text for text, applies in words.items() if applies)


def changes(options: ExportOptions) -> str:
    """What was done to pictures, if it was needed."""
    width, height = options.resize or (0, 0)
    words = {
        f"cut to {width} x {height} pixels from their middle": options.resize,
        f"at most {options.max_side} pixels a side": options.max_side,
        f"all {options.encode.upper()}": options.encode != Encode.KEEP,
        "without metadata": options.strip_metadata,
    }
    return ", ".join(text for text, applies in words.items() if applies)
