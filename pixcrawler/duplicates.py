"""Which pictures of a scope were met before: a replica in memory of the codes of all that are kept. Pure, exact.

A million pictures take 104 MB: 16 for the perceptual hashes of two views, 64 for the long codes, the rest for numbers
and beginnings of SHA-256. Fingerprints stay where they are stored and are looked at only for what the codes propose.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from pixcrawler import likeness
from pixcrawler.errors import UsageError
from pixcrawler.items import ImageItem, Inspection, Looks
from pixcrawler.jobs import Extent, Reason
from pixcrawler.likeness import Preset
from pixcrawler.looks import CODE, SLOW, VIEWS
from pixcrawler.rights import freedom, licence_of

ALGORITHM = 2  # stored with every fingerprint; raised when the same picture gets other codes

_LONG = 4  # words of 64 bits
_FEW = 256  # codes, times as many as are decided together
_AT_ONCE = 65_536  # codes; they and what is computed of them fit the cache

Words = NDArray[np.uint64]
Rows = NDArray[np.intp]
Kind = TypeVar("Kind", np.uint64, np.int64)


LARGER = 1.5  # times as many pixels; nobody sees fewer, and every scaling would have pictures replaced


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a job takes for a duplicate, and where it looks: its options `duplicates`, `scope` and `flips`."""

    preset: Preset = likeness.PRESETS[likeness.DEFAULT]
    extent: Extent = Extent.JOB
    flips: bool = False  # mirror images are duplicates too

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Wanted:
        """From checked options."""
        preset = likeness.PRESETS[options.get("duplicates", likeness.DEFAULT)]
        return cls(preset, Extent(options.get("scope", Extent.JOB)), bool(options.get("flips")))


def parse_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options about duplicates, all of them. Raises `UsageError`."""
    flips = given.get("flips", False)
    if not isinstance(flips, bool):
        raise UsageError(f"flips: expected true or false, got {str(flips)[:40]!r}")
    try:
        extent = Extent(given.get("scope", Extent.JOB))
    except ValueError:
        raise UsageError(f"scope: expected {', '.join(Extent)}, got {str(given['scope'])[:40]!r}") from None
    preset = likeness.parse_preset(given.get("duplicates", likeness.DEFAULT))
    return {"duplicates": preset, "scope": extent, "flips": flips}


@dataclass(frozen=True, slots=True)
class Standing:
    """What makes one of two copies the better one."""

    pixels: int
    freedom: int = 0  # see `rights.freedom`
    credited: bool = False  # its author is known

    @classmethod
    def of(cls, item: ImageItem) -> Standing:
        """That of an inspected picture."""
        look = item.inspection
        assert look is not None
        licence = licence_of(item.license, item.license_url, item.source)
        return cls(look.width * look.height, freedom(licence), bool(item.creator))

    def beats(self, other: Standing) -> bool:
        """Whether this copy should replace the other: larger; or no smaller and freer; or as free, of a known author.

        Who replaces is never smaller, so that no two can replace each other for ever.
        """
        if self.pixels >= LARGER * other.pixels:
            return True
        return self.pixels >= other.pixels and (self.freedom, self.credited) > (other.freedom, other.credited)


@dataclass(frozen=True, slots=True)
class Match:
    """The kept picture that another one is a copy of."""

    reason: Reason  # DUPLICATE_BYTES or NEAR_DUPLICATE
    number: int  # in the index
    distance: int = 0  # bits of 256 in which their long codes differ
    likeness: float | None = None  # the correlation of their fingerprints


def copies(preset: Preset, looks: Looks, proposals: Proposals, fingerprints: Mapping[int, bytes]) -> list[Match]:
    """The proposed pictures that are the same. Those without fingerprint are gone."""
    there = [row for row, number in enumerate(proposals.numbers.tolist()) if number in fingerprints]
    if not there:
        return []
    numbers, distances = proposals.numbers[there].tolist(), proposals.distances[there]
    mine = likeness.mirrored(looks.fingerprint) if proposals.flipped else looks.fingerprint
    scores = likeness.accepted(preset, mine, [fingerprints[number] for number in numbers], distances)
    return [
        Match(Reason.NEAR_DUPLICATE, number, int(distance), round(float(score), 4))
        for number, distance, score in zip(numbers, distances, scores, strict=True)
        if score
    ]


def nearest(preset: Preset, looks: Looks, proposals: Proposals, fingerprints: Mapping[int, bytes]) -> Match | None:
    """Of the proposed pictures that are the same the one most alike."""
    same = copies(preset, looks, proposals, fingerprints)
    return max(same, key=lambda match: match.likeness or 0, default=None)


def mates(wanted: Wanted, items: Sequence[ImageItem]) -> dict[str, dict[str, Match]]:
    """Of pictures that are decided together: which earlier ones each is a copy of, by their keys."""
    index = Index()
    prints: dict[int, bytes] = {}
    found = {}
    items = _close(wanted, items)
    for number, item in enumerate(items):
        look = item.inspection
        assert look is not None
        same = {
            items[at].key: Match(Reason.DUPLICATE_BYTES, at)
            for at in index.same(look.sha256)
            if (other := items[at].inspection) and other.sha256 == look.sha256
        }
        if look.looks and wanted.preset.rules:
            for flipped in (False, True) if wanted.flips else (False,):
                proposals = index.near(look.looks, wanted.preset, flipped=flipped)
                if match := nearest(wanted.preset, look.looks, proposals, prints):
                    same.setdefault(items[match.number].key, match)
        found[item.key] = same
        index.add([(number, look.sha256, look.looks.codes if look.looks else b"")])
        prints[number] = look.looks.fingerprint if look.looks else b""
    return {key: same for key, same in found.items() if same}


def _close(wanted: Wanted, items: Sequence[ImageItem]) -> list[ImageItem]:
    """Those that may be a copy of another one of them: hardly ever any, and this takes a hundredth of a closer look."""
    looks = [item.inspection for item in items if item.inspection]
    heads = Counter(_head(look.sha256) for look in looks)
    close = {row for row, look in enumerate(looks) if heads[_head(look.sha256)] > 1}
    telling = [row for row, look in enumerate(looks) if look.looks]
    if telling and wanted.preset.rules:
        codes = np.stack([_padded(look.looks) for look in looks if look.looks])
        for others in (codes, codes ^ _MIRROR[0, 0]) if wanted.flips else (codes,):
            near = (np.bitwise_count(others[:, :, None, None] ^ codes) <= wanted.preset.radius).any(axis=(1, 3))
            np.fill_diagonal(near, False)
            close |= {telling[row] for row in np.flatnonzero(near.any(axis=0) | near.any(axis=1)).tolist()}
    return [items[row] for row in sorted(close)]


@dataclass(frozen=True, order=True, slots=True)
class Mark:
    """How far somebody has looked."""

    exact: int = 0
    near: int = 0
    framed: int = 0


UNSEEN = Mark()


@dataclass(frozen=True, slots=True)
class Proposals:
    """Pictures whose codes are near, in the order in which they were kept."""

    numbers: NDArray[np.int64]
    distances: NDArray[np.int64]  # bits of 256 in which the nearest long codes differ
    flipped: bool = False  # their mirror images are


NOBODY = Proposals(np.empty(0, np.int64), np.empty(0, np.int64))


class Column(Generic[Kind]):
    """An array that grows; a row may have several words."""

    def __init__(self, kind: type[Kind], words: int = 1) -> None:
        self._rows: NDArray[Kind] = np.empty((1024, words), kind)
        self._used = 0

    def extend(self, rows: NDArray[Kind]) -> None:
        needed = self._used + len(rows)
        if needed > len(self._rows):
            longer = np.empty((max(needed, len(self._rows) * 3 // 2), self._rows.shape[1]), self._rows.dtype)
            longer[: self._used] = self.rows
            self._rows = longer
        self._rows[self._used : needed] = rows
        self._used = needed

    @property
    def rows(self) -> NDArray[Kind]:
        return self._rows[: self._used]

    def __len__(self) -> int:
        return self._used


class Index:
    """The pictures of one scope, each under its number. A flat one has no codes and is only found exactly."""

    def __init__(self) -> None:
        self._heads, self._head_numbers = Column(np.uint64), Column(np.int64)
        self._hashes = [Column(np.uint64) for _ in VIEWS]
        self._long, self._numbers = Column(np.uint64, len(VIEWS) * _LONG), Column(np.int64)
        # What is inside a frame: few pictures have one.
        self._framed, self._framed_long = Column(np.uint64), Column(np.uint64, _LONG)
        self._framed_rows = Column(np.int64)

    def __len__(self) -> int:
        return len(self._heads)

    @property
    def mark(self) -> Mark:
        """Where whoever has looked now need not look again."""
        return Mark(len(self._heads), len(self._long), len(self._framed))

    def add(self, pictures: Sequence[tuple[int, str, bytes]]) -> None:
        """Takes in pictures: number, SHA-256 in hex, codes; none of a flat one."""
        if not pictures:
            return
        self._heads.extend(_column(np.uint64, (_head(sha256) for _, sha256, _ in pictures)))
        self._head_numbers.extend(_column(np.int64, (number for number, _, _ in pictures)))
        plain = len(VIEWS) * CODE
        telling = [(number, codes) for number, _, codes in pictures if codes]
        if not telling:
            return
        before = len(self._numbers)
        views = _views(b"".join(codes[:plain] for _, codes in telling)).reshape(len(telling), len(VIEWS), -1)
        self._numbers.extend(_column(np.int64, (number for number, _ in telling)))
        for view, column in enumerate(self._hashes):
            column.extend(views[:, view, :1])
        self._long.extend(views[:, :, 1:].reshape(len(telling), -1))
        framed = [before + row for row, (_, codes) in enumerate(telling) if len(codes) > plain]
        if framed:
            inside = _views(b"".join(telling[row - before][1][plain:] for row in framed))
            self._framed.extend(inside[:, :1])
            self._framed_long.extend(inside[:, 1:])
            self._framed_rows.extend(_column(np.int64, framed))

    def same(self, sha256: str, since: Mark = UNSEEN) -> list[int]:
        """The numbers of those whose SHA-256 begins alike, the first 64 bits: one, unless somebody has toiled."""
        rows = np.flatnonzero(self._heads.rows[since.exact :, 0] == np.uint64(_head(sha256))) + since.exact
        return [int(number) for number in self._head_numbers.rows[rows, 0]]

    def near(self, looks: Looks, preset: Preset, since: Mark = UNSEEN, *, flipped: bool = False) -> Proposals:
        """Whom the codes of a picture, or of its mirror image, are near."""
        codes = _views(looks.codes)
        if flipped:
            codes = np.bitwise_xor(codes, _MIRROR)
        if not preset.views:
            codes = codes[:1]
        found = [rows for rows in self._scan(codes, preset, since) if len(rows)]
        if not found:
            return NOBODY
        rows = np.unique(np.concatenate(found))
        distances = self._distances(codes, rows, preset)
        near = distances <= preset.bits
        return Proposals(self._numbers.rows[rows[near], 0], distances[near], flipped)

    def suspects(self, pictures: Sequence[Inspection], wanted: Wanted, since: Mark) -> list[bool]:
        """Which of many pictures `same` or `near` would find somebody for, of the few that are new: in one go."""
        heads = np.array([_head(each.sha256) for each in pictures], np.uint64)
        found = np.isin(heads, self._heads.rows[since.exact :])
        telling = [row for row, each in enumerate(pictures) if each.looks]
        if not (telling and wanted.preset.rules):
            return found.tolist()  # type: ignore[no-any-return]
        looks = [_padded(each.looks) for each in pictures if each.looks]
        for codes in (np.stack(looks), np.stack(looks) ^ _MIRROR[0, 0]) if wanted.flips else (np.stack(looks),):
            others = [column.rows[since.near :, 0] for column in self._hashes[1:]]
            found[telling] |= _any_within(codes, self._hashes[0].rows[since.near :, 0], wanted.preset.radius)
            found[telling] |= _any_within(codes[:, :1], np.concatenate(others), wanted.preset.radius)
            found[telling] |= _any_within(codes, self._framed.rows[since.framed :, 0], wanted.preset.radius)
        return found.tolist()  # type: ignore[no-any-return]

    def _scan(self, codes: Words, preset: Preset, since: Mark) -> Iterator[Rows]:
        whole = self._hashes[0].rows[:, 0]
        yield from (_within(whole, since.near, code[0], preset.radius) for code in codes)
        if preset.views:
            for column in self._hashes[1:]:
                yield _within(column.rows[:, 0], since.near, codes[0, 0], preset.radius)
            inside = self._framed.rows[:, 0]
            for code in (codes[0], *codes[len(VIEWS) :]):
                found = _within(inside, since.framed, code[0], preset.radius)
                yield self._framed_rows.rows[found, 0].astype(np.intp)

    def _distances(self, codes: Words, rows: Rows, preset: Preset) -> NDArray[np.int64]:
        """Of the nearest pair of views, one of which is whole, or both inside a frame."""
        views = range(len(VIEWS) if preset.views else 1)
        long = self._long.rows[rows].reshape(len(rows), len(VIEWS), _LONG)
        pairs = [(code, 0) for code in range(len(codes))] + [(0, view) for view in views if view]
        nearest: NDArray[np.int64] = np.stack([_differing(long[:, b], codes[a]) for a, b in pairs]).min(axis=0)
        if preset.views and len(self._framed):
            framed = self._framed_rows.rows[:, 0]
            at = np.minimum(np.searchsorted(framed, rows), len(framed) - 1)
            has = np.flatnonzero(framed[at] == rows)
            for code in (codes[0], *codes[len(VIEWS) :]):
                nearest[has] = np.minimum(nearest[has], _differing(self._framed_long.rows[at[has]], code))
        return nearest


_NO_ROWS = np.empty(0, np.intp)


def _differing(long: Words, code: Words) -> NDArray[np.int64]:
    bits: NDArray[np.uint8] = np.bitwise_count(np.bitwise_xor(long, code[1:]))
    differing: NDArray[np.int64] = bits.sum(axis=1, dtype=np.int64)
    return differing


def _head(sha256: str) -> int:
    return int(sha256[:16], 16)


def _column(kind: type[Kind], numbers: Iterable[int]) -> NDArray[Kind]:
    return np.array(list(numbers), kind)[:, np.newaxis]


def _views(codes: bytes) -> Words:
    """A row for each view: the perceptual hash, and four words of the long code."""
    return np.frombuffer(codes, ">u8").astype(np.uint64).reshape(-1, 1 + _LONG)


def _within(column: Words, since: int, code: np.uint64, radius: int) -> Rows:
    """The rows of a column, from one on, that differ from a code in at most so many bits."""
    found = []
    for begin in range(since, len(column), _AT_ONCE):
        bits = np.bitwise_count(column[begin : begin + _AT_ONCE] ^ code)
        if len(rows := (bits <= radius).nonzero()[0]):
            found.append(rows + begin)
    return np.concatenate(found) if found else _NO_ROWS


def _padded(looks: Looks) -> Words:
    """The perceptual hashes of all views a picture can have, the first one again where there is no frame."""
    hashes = _views(looks.codes)[:, 0]
    return np.concatenate((hashes, hashes[: len(VIEWS) + 1 - len(hashes)]))


def _any_within(codes: Words, column: Words, radius: int) -> NDArray[np.bool_]:
    """For each row of codes, whether one of them differs in at most so many bits from one of the column."""
    found = np.zeros(len(codes), bool)
    for begin in range(0, len(column), _FEW):
        differing = codes[:, :, np.newaxis] ^ column[begin : begin + _FEW]
        found |= (np.bitwise_count(differing) <= radius).any(axis=(1, 2))
    return found


def _mirror() -> Words:
    """The bits of waves to the right that a mirror turns round: every other one, of 8 a row, and of 16."""
    slow = np.tile(np.arange(SLOW) % 2, SLOW)
    fast = np.tile(np.arange(1, 17) % 2, 16)
    return _views(np.packbits(np.concatenate((slow, fast)).astype(bool)).tobytes())


_MIRROR = _mirror()
