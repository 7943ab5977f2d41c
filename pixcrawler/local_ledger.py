"""The ledger of a crawl without a database: in memory, and in a manifest beside the images."""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from pixcrawler.config import Config
from pixcrawler.duplicates import UNSEEN, Index, Mark, Match, Wanted, nearest
from pixcrawler.errors import UsageError
from pixcrawler.items import ImageItem, Looks
from pixcrawler.jobs import KEPT, TAIL, AttemptState, Funnel, Outcome, Reason, Slice, Spent, fill, hardly_any_kept
from pixcrawler.ledger import Pause, Run
from pixcrawler.likeness import FINGERPRINT
from pixcrawler.rights import licence_of

RECORD = 32 + FINGERPRINT  # bytes
ALL = 10**9  # missing, when all there are is wanted
CLAIMED = ("width", "height", "mime", "filesize")  # what sources say and we measure
LINE_ENDS = {ord(end): f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"}  # as many readers of lines see them

# What becomes of candidates nobody came to.
LEFT_OVER = {AttemptState.SUCCEEDED: Reason.OVER_QUOTA, AttemptState.SHORT: Reason.OVER_QUOTA}
UNDONE = {AttemptState.FAILED: Reason.ABANDONED, AttemptState.DEFERRED: Reason.ABANDONED}


@dataclass(slots=True)
class Tally:
    """What one keyword brought so far."""

    kept: int = 0
    tail: deque[bool] = field(default_factory=lambda: deque(maxlen=TAIL))  # kept or not


class Fingerprints:
    """Those of all that is kept, and their SHA-256, by number: in a file without a name, for they outgrow memory."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._number = 0

    def add(self, sha256: str, fingerprint: bytes) -> None:
        """Takes the next number."""
        self._file = self._file or TemporaryFile()  # noqa: SIM115  # closed with the ledger
        self._file.seek(self._number * RECORD)
        self._file.write(bytes.fromhex(sha256) + fingerprint)
        self._number += 1

    def get(self, number: int) -> tuple[str, bytes]:
        """SHA-256 and fingerprint."""
        assert self._file is not None
        self._file.seek(number * RECORD)
        record = self._file.read(RECORD)
        return record[:-FINGERPRINT].hex(), record[-FINGERPRINT:]

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class LocalLedger:
    """Implements `ledger.Ledger` in a new folder `<data_dir>/crawls/<source>-<time>`."""

    run: Run

    def __init__(
        self,
        config: Config,
        source: str,
        keywords: Sequence[str],
        max_images: int | None,
        wanted: Wanted | None = None,
    ) -> None:
        """Creates the folder. Raises `UsageError` if it cannot be written."""
        self.asked = max_images
        self._wanted = wanted or Wanted()
        self.folder, self._manifest = _new_manifest(config.data_dir / "crawls", source)
        quotas = [None] * len(keywords) if max_images is None else fill([0] * len(keywords), max_images)
        slices = {keyword: Slice(quota) for keyword, quota in zip(keywords, quotas, strict=True)}
        self.run = Run(self.folder.name, slices, storage_prefix="", options={})
        self._tallies = {keyword: Tally() for keyword in keywords}
        self._seen: set[str] = set()
        self._open: dict[str, ImageItem] = {}
        self._spare: defaultdict[str, list[ImageItem]] = defaultdict(list)  # open, and once refused for want of room
        self._files: set[str] = set()
        self._index = Index()
        self._kept: list[str] = []  # files, by their numbers in the index
        self._fingerprints = Fingerprints()  # by the same numbers
        self._looks: dict[str, tuple[Mark, Match | None]] = {}  # by the key of a picture not decided yet
        self._counts: Counter[str] = Counter()

    async def open(self) -> Run | None:
        """There is nobody else to ask."""
        return self.run

    async def open_candidates(self) -> tuple[list[ImageItem], list[ImageItem]]:
        """None: every local crawl is a new one."""
        return [], []

    async def add_page(
        self, keyword: str, items: Sequence[ImageItem], cursor: Any, spent: Spent | None
    ) -> list[ImageItem]:
        """See `Ledger.add_page`."""
        new = []
        for item in items:
            if item.key not in self._seen:
                self._seen.add(item.key)
                self._open[item.key] = item
                new.append(item)
        share = self.run.slices[keyword]
        share.cursor, share.spent = cursor, spent
        return new

    async def mark_spent(self, keyword: str, spent: Spent) -> None:
        """See `Ledger.mark_spent`."""
        self.run.slices[keyword].spent = spent

    async def begin(self, items: Sequence[ImageItem]) -> None:
        """Nothing: nobody will ask after a death."""

    async def duplicate_of(self, item: ImageItem) -> Reason | None:
        """See `Ledger.duplicate_of`. The first one stays: what the manifest says of it has been said."""
        match = self._match(item)
        return match.reason if match else None

    def _match(self, item: ImageItem) -> Match | None:
        look = item.inspection
        assert look is not None
        since, match = self._looks.get(item.key, (UNSEEN, None))
        now = self._index.mark
        if match is None and since != now:
            match = self._exact(look.sha256, since)
            if match is None and look.looks and self._wanted.preset.rules:
                match = self._near(look.looks, since)
            self._looks[item.key] = now, match
        return match

    def _exact(self, sha256: str, since: Mark) -> Match | None:
        same = (number for number in self._index.same(sha256, since) if self._fingerprints.get(number)[0] == sha256)
        return next((Match(Reason.DUPLICATE_BYTES, number) for number in same), None)

    def _near(self, looks: Looks, since: Mark) -> Match | None:
        preset = self._wanted.preset
        ways = (False, True) if self._wanted.flips else (False,)
        for proposals in [self._index.near(looks, preset, since, flipped=flipped) for flipped in ways]:
            prints = {number: self._fingerprints.get(number)[1] for number in proposals.numbers.tolist()}
            if match := nearest(preset, looks, proposals, prints):
                return match
        return None

    async def keep(self, item: ImageItem) -> Reason | None:
        """See `Ledger.keep`."""
        look = item.inspection
        assert look is not None
        assert item.storage_key is not None
        match = self._match(item)
        reason = match.reason if match else None if self.missing(item.keyword) else Reason.OVER_QUOTA
        if reason:
            self.reject(item, reason)
            return reason
        self._index.add([(len(self._kept), look.sha256, look.looks.codes if look.looks else b"")])
        self._fingerprints.add(look.sha256, look.looks.fingerprint if look.looks else bytes(FINGERPRINT))
        self._kept.append(item.storage_key)
        self._files.add(item.storage_key)
        self._tallies[item.keyword].kept += 1
        self._decide(item, None)
        return None

    def reject(self, item: ImageItem, reason: Reason, detail: str = "") -> None:
        """See `Ledger.reject`. What there is no room for stays open: another keyword may come short."""
        if reason is Reason.OVER_QUOTA:
            self._spare[item.keyword].append(item)
        else:
            self._decide(item, reason, detail)

    def _decide(self, item: ImageItem, reason: Reason | None, detail: str = "") -> None:
        match = self._looks.pop(item.key, (UNSEEN, None))[1]
        if self._open.pop(item.key, None) is None:
            return
        self._counts[reason or KEPT] += 1
        self._tallies[item.keyword].tail.append(reason is None)
        about = _line(item, reason, detail)
        if match is not None and reason is match.reason:
            about |= {"duplicate_of": self._kept[match.number], "distance": match.distance, "likeness": match.likeness}
        line = json.dumps(about, ensure_ascii=False).translate(LINE_ENDS)
        self._manifest.write(f"{line}\n".encode("utf-8", "replace"))

    def missing(self, keyword: str) -> int:
        """See `Ledger.missing`."""
        quota = self.run.slices[keyword].quota
        return ALL if quota is None else max(0, quota - self._tallies[keyword].kept)

    def barren(self, keyword: str) -> bool:
        """See `Ledger.barren`. Who wants all there are wants the rare ones too."""
        return self.run.slices[keyword].quota is not None and hardly_any_kept(self._tallies[keyword].tail)

    def top_up(self) -> dict[str, list[ImageItem]]:
        """See `Ledger.top_up`."""
        shares = self.run.slices
        has_open = {item.keyword for item in self._open.values()}
        alive = [
            keyword
            for keyword, share in shares.items()
            if not share.spent or (share.spent is not Spent.BARREN and keyword in has_open)
        ]
        if self.asked is None or not alive:
            return {}
        freed = 0
        for keyword in shares.keys() - alive:
            freed += self.missing(keyword)
            shares[keyword].quota = self._tallies[keyword].kept
        for keyword, more in zip(alive, fill([self._tallies[word].kept for word in alive], freed), strict=True):
            shares[keyword].quota = (shares[keyword].quota or 0) + more
        return {keyword: self._spare.pop(keyword, []) for keyword in alive if self.missing(keyword)}

    @property
    def may_write(self) -> bool:
        """Always: there is nobody else."""
        return True

    async def beat(self) -> bool:
        """Always: only a signal ends a local crawl early."""
        return True

    async def pause(self, host: str, pause: Pause) -> None:
        """Nothing: there is nobody else to tell."""

    async def paused_hosts(self) -> dict[str, Pause]:
        """None that this process does not know of."""
        return {}

    async def close(self, outcome: Outcome) -> None:
        """Decides what is open, removes files of pictures that were not kept, and says what came of it."""
        left = LEFT_OVER.get(outcome.state) or UNDONE.get(outcome.state, Reason.CANCELLED)
        for item in list(self._open.values()):
            self._decide(item, left)
        self._manifest.close()
        self._fingerprints.close()
        self._sweep()
        sys.stdout.write(self._summary(outcome))

    def _sweep(self) -> None:
        for path in sorted(self.folder.rglob("*"), reverse=True):  # what is in a folder before the folder
            if path.is_dir():
                if not any(path.iterdir()):
                    path.rmdir()
            elif path.name != "manifest.jsonl" and path.relative_to(self.folder).as_posix() not in self._files:
                path.unlink()

    def _summary(self, outcome: Outcome) -> str:
        funnel = Funnel(self._counts)
        asked = "" if self.asked is None else f" of {self.asked} asked for"
        lines = [f"{outcome.state}: kept {funnel.kept}{asked}; found {funnel.found}"]
        lines += [f"  {number:>6} {reason.replace('_', ' ')}" for reason, number in funnel.reasons.items()]
        lines += [f"  {outcome.reason}"] if outcome.reason else []
        return "\n".join([*lines, f"  in {self.folder}", ""])


def _new_manifest(crawls: Path, source: str) -> tuple[Path, IO[bytes]]:
    """A folder nobody else has, and the manifest in it. Every write is one line, handed to the system at once."""
    stem = f"{source}-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    try:
        for number in count(1):
            folder = crawls / (stem if number == 1 else f"{stem}-{number}")
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                if not folder.is_dir():
                    raise
                continue
            return folder, (folder / "manifest.jsonl").open("xb", buffering=0)
    except OSError as error:
        raise UsageError(f"PIXCRAWLER_DATA_DIR cannot be written: {error.strerror}: {crawls}") from None
    raise AssertionError


def _line(item: ImageItem, reason: Reason | None, detail: str) -> dict[str, Any]:
    facts = item.facts()
    claimed = {name: facts.pop(name) for name in CLAIMED if name in facts}
    line: dict[str, Any] = {"decision": "rejected" if reason else KEPT, "reason": reason, "detail": detail or None}
    if look := item.inspection:
        line |= {"sha256": look.sha256, "format": look.format, "width": look.width, "height": look.height}
    licence = licence_of(item.license, item.license_url, item.source)
    line |= {"file": None if reason else item.storage_key, "ip": item.ip, "license_id": licence.id if licence else None}
    return {**line, **facts, "claimed": claimed}
