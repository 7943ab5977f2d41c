"""Where an image ends in its file, without decoding it; and what comes after."""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from io import BytesIO
from typing import NamedTuple

from pixcrawler.errors import NotAnImage
from pixcrawler.jobs import Reason

_SCAN, _END = 0xDA, 0xD9  # markers of JPEG
_WITHOUT_LENGTH = frozenset({0x01, 0xD8})
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # inside a scan, 0xff is followed by one of these
_BLOCK = re.compile(rb"[,!;]")  # of a GIF; stray bytes between blocks harm nobody
_NEXT_JPEG = b"\xff\xd8\xff"
_PADDING = b"\0 \t\r\n"

_PROGRAMS = (b"MZ", b"\x7fELF", b"#!")
_ARCHIVES = (b"Rar!\x1a\x07", b"7z\xbc\xaf\x27\x1c", b"\x1f\x8b\x08")
_MARKUP = re.compile(rb"<(?:!doctype|html|head|body|script|iframe|svg|\?php)", re.IGNORECASE)


class Extent(NamedTuple):
    """How far an image reaches in its file."""

    end: int  # the first byte after it
    parts: int  # frames of a GIF, scans of a JPEG; else 1


def format_of(body: bytes) -> str:
    """The format by its first bytes: whatever a server calls it, it is this or refused."""
    if body.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if body.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if body.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if body.startswith(b"RIFF") and body[8:12] == b"WEBP":
        return "webp"
    raise NotAnImage(Reason.NOT_AN_IMAGE, f"begins with {body[:12]!r}" if body else "has no bytes")


def extent(kind: str, body: bytes, most_parts: int) -> Extent:
    """Walks through the file, no further than one part over `most_parts`.

    Raises `NotAnImage` as DAMAGED for what decoding does not notice: a missing end, a wrong checksum.
    """
    match kind:
        case "jpeg":
            return _jpeg(body, 0, most_parts)
        case "png":
            return _png(body)
        case "gif":
            return _gif(body, most_parts)
    return Extent(8 + int.from_bytes(body[4:8], "little"), 1)


def trailing_data(kind: str, body: bytes, end: int) -> str | None:
    """What a file carries behind its image: "archive", "document", "program", "page" or other "data".

    None for what cameras and phones put there: more JPEGs, films, and padding.
    """
    rest = body[end:].lstrip(_PADDING)
    if not rest:
        return None
    if zipfile.is_zipfile(BytesIO(rest)):  # found from its end, whatever comes first
        return "archive"
    if kind == "jpeg":
        rest = _without_jpegs(rest)
    if not rest or b"ftyp" in rest[:8] or rest.endswith(b"SEFT"):
        return None
    if rest.startswith(_ARCHIVES):
        return "archive"
    if rest.startswith(_PROGRAMS):
        return "program"
    if b"%PDF-" in rest[:1024]:
        return "document"
    return "page" if _MARKUP.search(rest) else "data"


def _jpeg(body: bytes, start: int, most_scans: int) -> Extent:
    """Without its end marker a JPEG reaches to the end of the file."""
    at, scans = start + 2, 0
    while scans <= most_scans and (marker := _MARKER.search(body, at)):
        at, code = marker.end(), body[marker.end() - 1]
        if code == _END:
            return Extent(at, scans)
        if code not in _WITHOUT_LENGTH:
            at += int.from_bytes(body[at : at + 2], "big")
        scans += code == _SCAN
    return Extent(len(body), scans)


def _without_jpegs(rest: bytes) -> bytes:
    """What is left behind further pictures, such as previews and depth maps, that are whole."""
    at = 0
    while rest.startswith(_NEXT_JPEG, at):
        end = _jpeg(rest, at, len(rest)).end
        if rest[end - 2 : end] != b"\xff\xd9":
            break
        at = end
        while at < len(rest) and rest[at] in _PADDING:
            at += 1
    return rest[at:]


def _png(body: bytes) -> Extent:
    """Checks every chunk up to the end marker: decoding ends before it, and looks at no checksum."""
    at, name = 8, b""
    while name != b"IEND":
        if at + 12 > len(body):
            raise NotAnImage(Reason.DAMAGED, "ends before its last chunk")
        length, name = struct.unpack_from(">I4s", body, at)
        end = at + 8 + length
        if body[end : end + 4] != zlib.crc32(body[at + 4 : end]).to_bytes(4, "big"):
            raise NotAnImage(Reason.DAMAGED, f"has a broken {name!r} chunk")
        at = end + 4
    return Extent(at, 1)


def _gif(body: bytes, most_frames: int) -> Extent:
    try:
        at, frames = 13 + palette_size(body[10]), 0
        while frames <= most_frames and (block := _BLOCK.search(body, at)):
            at = block.end()
            if block[0] == b";":
                return Extent(at, frames)
            if block[0] == b",":
                frames += 1
                at += 9 + palette_size(body[at + 8])
            at = skip_blocks(body, at + 1)
    except IndexError:
        pass
    else:
        if frames > most_frames:
            return Extent(len(body), frames)
    raise NotAnImage(Reason.DAMAGED, "ends before its trailer")


def palette_size(flags: int) -> int:
    """The bytes of a GIF's palette, by the flags before it."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def skip_blocks(body: bytes, at: int) -> int:
    """Where a GIF goes on behind the data blocks that begin here."""
    while length := body[at]:
        at += 1 + length
    return at + 1
