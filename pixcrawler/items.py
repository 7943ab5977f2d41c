"""What travels through a crawl: the image a source knows of, and what its bytes turned out to be."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, unquote_to_bytes, urlencode, urlsplit, urlunsplit

# Parameters that say where a visitor came from, never which picture is meant.
TRACKING_PARAMETERS = frozenset(
    {"fbclid", "gclid", "dclid", "msclkid", "yclid", "igshid", "mc_cid", "mc_eid", "ref_src"}
)
UNQUOTED = "!$&'()*+,;=:@~"  # besides letters, digits and -._ in a path
DEFAULT_PORTS = {"http": 80, "https": 443}


def canonical_url(url: str) -> str:
    """The address without what does not change the picture.

    That is case of the host, default port, fragment, tracking, and which letters of the path are written as %XX.
    """
    parts = urlsplit(url.strip())
    scheme = parts.scheme.lower()
    host = (parts.hostname or "").rstrip(".")
    if ":" in host:
        host = f"[{host}]"
    if parts.port is not None and parts.port != DEFAULT_PORTS.get(scheme):
        host = f"{host}:{parts.port}"
    query = parts.query
    if any(_tracks(name) for name, _ in parse_qsl(query, keep_blank_values=True)):
        kept = [pair for pair in parse_qsl(query, keep_blank_values=True) if not _tracks(pair[0])]
        query = urlencode(kept)
    return urlunsplit((scheme, host, _path(parts.path) or "/", query, ""))


def _path(path: str) -> str:
    """The path with as little as %XX as may be: "(1)" is also written "%281%29". A slash and its %2F stay apart."""
    return "/".join(quote(unquote_to_bytes(part), safe=UNQUOTED) for part in path.split("/"))


def _tracks(parameter: str) -> bool:
    return parameter.lower().startswith("utm_") or parameter.lower() in TRACKING_PARAMETERS


def url_key(url: str) -> str:
    """The key of a candidate: 32 hex digits of its canonical address. Never raises, whatever the text."""
    try:
        canonical = canonical_url(url)
    except ValueError:
        canonical = url
    return hashlib.blake2b(canonical.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


class Figures(NamedTuple):
    """How a picture looks, in numbers, of its levels of grey from 0 to 255."""

    sharpness: float  # variance of the Laplacian where the picture is sharpest, at about 512 pixels
    darkest: int  # the level that 0.1 % of the pixels stay under,
    dark: int  # 5 %,
    brightest: int  # and 99.9 %
    entropy: float  # bits, 0 to 8
    shades: int  # of 32, how many show

    @property
    def contrast(self) -> int:
        """Levels between nearly the darkest and nearly the brightest pixel: a moon in the night has plenty."""
        return self.brightest - self.darkest


def host_of(url: str) -> str:
    """Who is asked for a URL; empty for what is none."""
    try:
        return (urlsplit(url).hostname or "").removesuffix(".")
    except ValueError:
        return ""


class Looks(NamedTuple):
    """What a picture is recognised by. Source: `looks.look`."""

    codes: bytes  # 40 for each view: 8 of the perceptual hash, 32 of the long code; two views or three
    fingerprint: bytes  # the picture in small, to be compared with others


@dataclass(frozen=True, slots=True)
class Inspection:
    """What one look at the bytes found. Source: `imaging.inspect`, in a worker process."""

    sha256: str  # 64 hex digits of the bytes as served
    size: int  # bytes
    format: str  # "jpeg", "png", "webp" or "gif", by content
    width: int  # pixels, after EXIF orientation
    height: int
    frames: int
    phash: int  # 64-bit perceptual hash, unsigned
    flat: bool  # hardly any contrast: its perceptual hash says nothing
    figures: Figures | None = None
    orientation: int = 1  # as EXIF counts them, 1 to 8; viewers turn the picture by it
    trailing_data: str | None = None  # "archive", "document", "program", "page" or "data" behind the image
    data_mining: str | None = None  # the file's own prohibition of it: "DMI-PROHIBITED", …
    gps: bool = False  # the file tells where it was taken
    looks: Looks | None = field(default=None, repr=False)  # none of a flat one: such pictures all look alike

    @property
    def extension(self) -> str:
        """The file name extension without the dot."""
        return {"jpeg": "jpg"}.get(self.format, self.format)


@dataclass(slots=True)
class ImageItem:
    """An image a source knows of. The first block is what the source says; the second is ours, filled on the way."""

    url: str
    source: str
    keyword: str
    page_url: str | None = None
    title: str | None = None
    creator: str | None = None
    creator_url: str | None = None
    license: str | None = None
    license_url: str | None = None
    attribution: str | None = None
    source_id: str | None = None
    label: str | None = None  # the list's own word for the picture
    width: int | None = None  # as claimed
    height: int | None = None
    mime: str | None = None
    filesize: int | None = None  # bytes, as claimed

    key: str = field(default="", repr=False)  # url_key of the source's canonical address, or of url
    host: str = field(default="", init=False, repr=False)  # of the URL
    body: bytes | None = field(default=None, repr=False)  # as served; dropped once uploaded
    received: bool = field(default=False, repr=False)  # a whole body came, whatever it was
    ip: str | None = field(default=None, repr=False)  # the address it came from
    inspection: Inspection | None = field(default=None, repr=False)
    storage_key: str | None = field(default=None, repr=False)
    storage_url: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.key = self.key or url_key(self.url)
        self.host = host_of(self.url)

    def facts(self) -> dict[str, Any]:
        """What the source said, as JSON: enough to build the item again."""
        return {name: _storable(value) for name in FACTS if (value := getattr(self, name)) is not None}

    @classmethod
    def from_facts(cls, facts: dict[str, Any]) -> ImageItem:
        """The item that `facts` came from."""
        return cls(**facts)


def _storable(value: Any) -> Any:
    # PostgreSQL's jsonb takes neither NUL nor half a surrogate pair.
    return value.replace("\0", "").encode("utf-8", "replace").decode() if isinstance(value, str) else value


FACTS = tuple(f.name for f in fields(ImageItem) if f.repr or f.name == "key")
