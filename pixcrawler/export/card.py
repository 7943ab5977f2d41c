"""README.md of a dataset: what was asked, what was found, what became of it, and whose the pictures are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from pixcrawler.export import layouts
from pixcrawler.export.attribution import conditions
from pixcrawler.export.dataset import Dataset, RunLine
from pixcrawler.export.markdown import escaped, link, one_line, table
from pixcrawler.export.texts import Texts
from pixcrawler.export_options import ExportOptions
from pixcrawler.jobs import ExportFormat
from pixcrawler.rights import Licence, normalise

# Read by Hugging Face: which loader, which files. "other": each picture has its own licence.
FRONT_MATTER = """---
pretty_name: {name}
license: other
task_categories:
- image-classification
configs:
- config_name: default
  data_files:
{data_files}---
"""

FILES = """## The files

{made}

{files}
- `ATTRIBUTION.md`: who made each picture, and under which licence
- `labels.csv`, `labels.json`, `labels.yaml`, `labels.txt`: file and label; in the CSV an apostrophe stands before what
  looks like a formula
- `croissant.json`: what the dataset is, for tools; `mlcroissant` opens it
- `manifest.json`: size and SHA-256 of every file

```python
{load}
```
"""
NO_PICTURES = "There are no pictures here, only what is known of them; `original_url` says where each came from."
AS_SERVED = "Every picture is as its owner serves it, byte for byte."
REWRITTEN = """Pictures were changed where that was needed: {changes}. Where the two differ, `sha256` is of the bytes
here and `original_sha256` of those that their owner serves. Some licences allow no changed copies to be passed on."""

RIGHTS = "Licences are as the sources state them; nobody checked them. Unknown means: find out before you use it.\n"


def readme(dataset: Dataset, texts: Texts, slugs: Mapping[str, str], kind: ExportFormat, options: ExportOptions) -> str:
    """The whole card, Markdown. `texts` has counted the pictures; `slugs` are the folders of the keywords."""
    name = dataset.name or f"Dataset of job {dataset.job}"
    splits = [split for split in options.split or ("",) if texts.splits[split]]  # loaders refuse one with nothing in it
    head = FRONT_MATTER.format(name=json.dumps(one_line(name)), data_files=layouts.data_files(kind, splits))
    parts = [
        head + f"\n# {escaped(name)}\n",
        _summary(dataset, texts, options),
        "## Labels\n\n" + _labels(texts, slugs),
        "## What became of every image found\n\n" + _funnel(dataset),
        "## Runs\n\n" + _runs(dataset.runs),
        "## Sources\n\n" + table(("source", "pictures"), ((escaped(s), n) for s, n in texts.sources.most_common())),
        "## Licences\n\n" + RIGHTS + "\n" + _licenses(texts),
        FILES.format(
            made=_made(kind, options),
            files=layouts.files(kind, splits),
            load=layouts.load(kind, splits),
        ),
    ]
    return "\n".join(parts)


def _made(kind: ExportFormat, options: ExportOptions) -> str:
    if kind not in layouts.WITH_PICTURES:
        return NO_PICTURES
    return REWRITTEN.format(changes=layouts.changes(options)) if options.rewrites else AS_SERVED


def _summary(dataset: Dataset, texts: Texts, options: ExportOptions) -> str:
    lines = [
        f"asked for: {dataset.asked} pictures of {_list(dataset.keywords, len(dataset.keywords))}"
        f" from {_list(dataset.sources, len(dataset.sources))}",
        f"in this dataset: {texts.splits.total()} pictures",
        f"job {dataset.job}, version {dataset.version}",
    ]
    if options.filters:
        lines[1] += f", of the {dataset.kept} that were kept: those {escaped(layouts.choice(options), 1000)}"
    if options.split:
        parts = ", ".join(f"{split} {texts.splits[split]}" for split in options.split)
        lines.insert(2, f"split, with seed {options.seed}: {parts}; near-duplicates are never in two of them")
    return f"{escaped(dataset.outcome)}\n\n" + "".join(f"- {line}\n" for line in lines)


def _labels(texts: Texts, slugs: Mapping[str, str]) -> str:
    rows = ((escaped(keyword), f"`{slug}/`", texts.keywords[keyword]) for keyword, slug in slugs.items())
    return table(("keyword", "folder", "pictures"), rows)


def _funnel(dataset: Dataset) -> str:
    reasons = ((_words(reason), n) for reason, n in dataset.funnel.reasons.items())
    return table(("", "images"), [("found", dataset.funnel.found), ("kept", dataset.funnel.kept), *reasons])


def _runs(runs: Iterable[RunLine]) -> str:
    rows = (
        (escaped(run.source), _list(run.keywords, 5), run.found, run.kept, _counts(run.reasons))  # 5 fit a line
        for run in runs
    )
    return table(("source", "keywords", "found", "kept", "not kept"), rows)


def _counts(reasons: Mapping[str, int]) -> str:
    largest_first = sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{_words(reason)}: {n}" for reason, n in largest_first)


def _licenses(texts: Texts) -> str:
    ordered = sorted(texts.licenses.items(), key=lambda pair: (-pair[1], pair[0]))
    return table(("licence", "text", "what it asks", "pictures"), (_license(normalise(id_), n) for id_, n in ordered))


def _license(licence: Licence | None, pictures: int) -> tuple[str | int, ...]:
    name, url = (licence.name, licence.url or "") if licence else ("unknown", "")
    return name, link(url), conditions(licence), pictures


def _words(reason: str) -> str:
    return escaped(reason.replace("_", " "))


def _list(words: tuple[str, ...], shown: int) -> str:
    more = f" and {len(words) - shown} more" if len(words) > shown else ""
    return ", ".join(escaped(word) for word in words[:shown]) + more
