"""What formats of the web tell of pictures, in the words of `ImageItem`: pure, no I/O."""

from __future__ import annotations

from typing import Any
from urllib.parse import urljoin, urlsplit

Facts = dict[str, Any]  # of one picture, with its absolute `url`

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".gif")


def absolute(base: str, address: Any) -> str | None:
    """The web address that is meant on a page at `base`, without a fragment; None for anything else."""
    if not isinstance(address, str) or not address.strip():
        return None
    try:
        parts = urlsplit(urljoin(base, address.strip()))
        return parts._replace(fragment="").geturl() if parts.scheme in ("http", "https") and parts.hostname else None
    except ValueError:
        return None


def is_picture(address: str) -> bool:
    """Whether an address looks like that of a picture; wikis name pages so too, with a colon."""
    try:
        name = urlsplit(address).path.rpartition("/")[2].lower()
    except ValueError:
        return False
    return name.endswith(EXTENSIONS) and ":" not in name


def number(text: Any) -> float:
    """The number that a text is; 0 for anything else."""
    try:
        return float(text)
    except (TypeError, ValueError):
        return 0
