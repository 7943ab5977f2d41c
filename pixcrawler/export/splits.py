"""Which pictures train and which test. Pure."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby


def assign(pictures: Sequence[tuple[str, str]], shares: Mapping[str, float], seed: int) -> list[str]:
    """The split of each picture, of which keyword and group are given.

    A group is never torn: what looks nearly the same must not be trained and tested on. Each keyword is divided by the
    shares as well as its groups allow, and what that leaves over is made good at the next keyword. Who goes where
    depends on `seed` and the names alone, not on the order.
    """
    sizes = Counter(group for _, group in pictures)
    keywords: dict[str, str] = {}
    for keyword, group in pictures:
        keywords[group] = min(keyword, keywords.get(group, keyword))
    splits: dict[str, str] = {}
    wanting = dict.fromkeys(shares, 0.0)  # pictures
    for _, groups in groupby(sorted(sizes, key=lambda group: (keywords[group], group)), keywords.__getitem__):
        # Large ones first: small ones fill what they leave.
        thrown = sorted(groups, key=lambda group: (-sizes[group], _dice(seed, group)))
        total = sum(sizes[group] for group in thrown)
        wanting = {name: wanting[name] + share * total for name, share in shares.items()}
        for group in thrown:
            splits[group] = max(wanting, key=wanting.__getitem__)
            wanting[splits[group]] -= sizes[group]
    return [splits[group] for _, group in pictures]


def _dice(seed: int, group: str) -> bytes:
    return hashlib.sha256(f"{seed} {group}".encode("utf-8", "surrogatepass")).digest()
