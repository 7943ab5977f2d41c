"""A file without what it says beside its picture: EXIF, XMP, IPTC, comments, texts, times, thumbnails, what follows the
end. Not one coded pixel changes; what colours mean (profiles, gamma) and how frames play stays. Pure."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from pixcrawler import containers

_WITHOUT_LENGTH, _END = (0x01, 0xD8), 0xD9  # markers of JPEG
_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
_BESIDE = frozenset({*range(0xE0, 0xF0), 0xFE})  # segments of applications, and comments
# By marker, how the segments of applications begin that decoding needs.
_NEEDED = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}
_JFIF = 0xE0
_JFIF_LENGTH = 14  # without its thumbnail, whose width and height are the last two

_PNG_CHUNKS = frozenset(
    b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB iCCP cICP mDCV cLLI sBIT bKGD pHYs hIST sPLT acTL fcTL fdAT".split()
)

_WEBP_CHUNKS = frozenset({b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF", b"ICCP"})
_SAYS_EXIF_OR_XMP = 0x08 | 0x04  # flags of VP8X

_GIF_GRAPHIC, _GIF_APPLICATION = 0xF9, 0xFF
_GIF_LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")


def stripped(body: bytes) -> bytes:
    """Of a whole JPEG, PNG, WebP or GIF. An orientation goes with the EXIF that said it."""
    kind = containers.format_of(body)
    body = body[: containers.extent(kind, body, len(body)).end]
    parts = {"jpeg": _of_jpeg, "png": _of_png, "webp": _of_webp, "gif": _of_gif}[kind](body)
    return b"".join(parts)


def _of_jpeg(body: bytes) -> Iterator[bytes]:
    yield body[:2]
    at = 2
    while marker := _MARKER.search(body, at):
        code = body[marker.end() - 1]
        yield body[at : marker.start()]  # the pixels of a scan
        if code == _END:
            break
        at = marker.end()
        if code not in _WITHOUT_LENGTH:
            at += int.from_bytes(body[at : at + 2], "big")
        segment = body[marker.end() + 2 : at]
        if code == _JFIF and segment.startswith(_NEEDED[code]):
            segment = segment[: _JFIF_LENGTH - 2] + b"\0\0"
            yield struct.pack(">BBH", 0xFF, code, 2 + len(segment)) + segment
        elif code not in _BESIDE or (code in _NEEDED and segment.startswith(_NEEDED[code])):
            yield b"\xff" + body[marker.end() - 1 : at]
    else:
        yield body[at:]
    yield b"\xff\xd9"


def _of_png(body: bytes) -> Iterator[bytes]:
    yield body[:8]
    at = 8
    while at < len(body):
        length, name = struct.unpack_from(">I4s", body, at)
        end = at + 12 + length
        if name in _PNG_CHUNKS:
            yield body[at:end]
        at = end


def _of_webp(body: bytes) -> Iterator[bytes]:
    chunks = b"".join(_webp_chunks(body))
    yield b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP"
    yield chunks


def _webp_chunks(body: bytes) -> Iterator[bytes]:
    at = 12
    while at + 8 <= len(body):
        name, size = struct.unpack_from("<4sI", body, at)
        end = at + 8 + size + size % 2
        if name == b"VP8X":
            yield body[at : at + 8] + bytes([body[at + 8] & ~_SAYS_EXIF_OR_XMP]) + body[at + 9 : end]
        elif name in _WEBP_CHUNKS:
            yield body[at:end]
        at = end


def _of_gif(body: bytes) -> Iterator[bytes]:
    at = 13 + containers.palette_size(body[10])
    yield body[:at]
    while body[at] != ord(";"):
        start, kind = at, body[at]
        if kind == ord("!"):
            label = body[at + 1]
            at = containers.skip_blocks(body, at + 2)
            loops = label == _GIF_APPLICATION and body.startswith(_GIF_LOOPS, start + 3)
            if label == _GIF_GRAPHIC or loops:
                yield body[start:at]
        elif kind == ord(","):
            at += 10 + containers.palette_size(body[at + 9])
            at = containers.skip_blocks(body, at + 1)
            yield body[start:at]
        else:  # stray bytes between blocks
            at += 1
    yield b";"
