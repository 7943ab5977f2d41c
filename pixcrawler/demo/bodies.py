"""The bytes behind the catalogue's entries, made when first asked for."""

from __future__ import annotations

import struct
import zlib
from functools import lru_cache

from PIL import Image

from pixcrawler.demo import pictures
from pixcrawler.demo.catalogue import Content, Entry, Kind

BOMB_SIDE = 12_000  # pixels
TINY_SIZE = (64, 48)
PAGE = b"<!DOCTYPE html>\n<html><title>Sign in</title><body><p>Please sign in to see this picture.</p></body></html>\n"


def body(entry: Entry) -> bytes:
    """What the entry's address serves with status 200. Raises `KeyError` for those that serve nothing."""
    match entry.kind:
        case Kind.CUT:
            whole = picture_file(entry.content)
            return whole[: len(whole) * 6 // 10]
        case Kind.HTML:
            return PAGE
        case Kind.TINY:
            return _tiny(entry.content)
        case Kind.BOMB:
            return bomb()
        case Kind.MISSING | Kind.UNAVAILABLE:
            raise KeyError(entry.id)
        case _:
            return picture_file(entry.content)


@lru_cache(maxsize=1024)  # of about 80 kB; the demo has a quarter of that
def picture_file(content: Content) -> bytes:
    """A picture file; takes about 70 ms when it is first asked for."""
    base = content.filetype if content.change is None else "jpg"
    picture = pictures.paint(content.keyword, content.seed, base)
    if content.change:
        picture = pictures.changed(picture, content.change)
    return pictures.encode(picture, content.filetype, content.quality)


def _tiny(content: Content) -> bytes:
    picture = pictures.paint(content.keyword, content.seed).resize(TINY_SIZE, Image.Resampling.LANCZOS)
    return pictures.encode(picture, "jpg", content.quality)


@lru_cache(maxsize=1)
def bomb() -> bytes:
    """A valid PNG of 144 million black pixels in about 18 kB."""
    row = bytes(1 + BOMB_SIDE // 8)  # filter type, then one bit per pixel
    packer = zlib.compressobj(9)
    pixels = b"".join([*(packer.compress(row) for _ in range(BOMB_SIDE)), packer.flush()])
    header = struct.pack(">IIBBBBB", BOMB_SIDE, BOMB_SIDE, 1, 0, 0, 0, 0)
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", pixels), _chunk(b"IEND", b""))
    return b"".join((b"\x89PNG\r\n\x1a\n", *chunks))


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
