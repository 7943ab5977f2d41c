"""What a file says of itself in its metadata: whether its owner has opted out of data mining, and where it was taken.

XMP packets are searched with regular expressions, never parsed: no entity is expanded, no depth is reached, and a
packet that is no good XML still says what its owner wants. Whatever the bytes, at most `MOST_BLOCKS` blocks of the file
are visited and `MOST_BYTES` of packets read. Pure.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from itertools import islice

from PIL import ExifTags, Image

MOST_BLOCKS = 50_000  # segments or chunks of a file; a PNG of 25 MiB written in pieces of 8 KiB has 3,200
MOST_BYTES = 4 << 20  # of packets in one file; they seldom have more than 20 kB, with a thumbnail 200 kB

_JPEG_SEGMENT = re.compile(rb"\xff+([^\x00\xff])(..)", re.DOTALL)
_JPEG_APP1, _JPEG_SCAN = b"\xe1", b"\xda"
_JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_JPEG_MORE_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_JPEG_MORE_XMP_HEADER = len(_JPEG_MORE_XMP) + 40  # digest, length and offset
_PNG_XMP = b"XML:com.adobe.xmp\0"
_PNG_RAW_XMP = b"Raw profile type xmp\0"  # ImageMagick's, in hexadecimal digits
_GIF_XMP = b"!\xff\x0bXMP DataXMP"  # the packet follows as it is; what comes behind it does no harm

# A property is an attribute or an element, in any namespace prefix; the element's value may be inside other elements.
_VALUE = r"[<\s](?:[\w.-]+:)?%s(?:\s*=\s*[\"']([^\"']{0,%d})|\b(.{0,%d}?)(?:%s|/>|\Z))"
_DATA_MINING = re.compile((_VALUE % ("DataMining", 500, 500, "DataMining")).encode(), re.DOTALL)
_CONSTRAINTS = re.compile((_VALUE % ("OtherConstraints", 5000, 5000, "OtherConstraints")).encode(), re.DOTALL)

# PLUS has seven values that prohibit, all beginning alike; programs show them to people in words that do so too.
_PROHIBITED = re.compile(rb"(?:DMI-)?PROHIBITED[A-Z-]{0,80}", re.IGNORECASE)  # the longest there is has 50
_MINING_IN_WORDS = re.compile(
    rb"data[\s-]*mining|\bTDM\b|machine[\s-]*learning|artificial[\s-]*intelligence|\bAI\b|\btrain(?:ing)?\b",
    re.IGNORECASE,
)
_DENIAL_IN_WORDS = re.compile(rb"\bno[nt]?\b|n't\b|prohibit|forbid|reserv|opt(?:ed)?[\s-]*out|without", re.IGNORECASE)


def data_mining(body: bytes) -> str | None:
    """The value of the property `plus:DataMining` that prohibits it, such as "DMI-PROHIBITED-AIMLTRAINING".

    "OtherConstraints" if only that property does so, in words. None: nothing in the file does.
    """
    left = MOST_BYTES
    for packet in _packets(body):
        text = packet[:left].replace(b"\0", b"")  # so that UTF-16 reads like UTF-8
        if prohibition := _prohibition(text):
            return prohibition
        left -= len(packet)
        if left <= 0:
            break
    return None


def has_gps(image: Image.Image) -> bool:
    """Whether its EXIF tells where the picture was taken. Broken EXIF does not."""
    try:
        return ExifTags.GPS.GPSLatitude in image.getexif().get_ifd(ExifTags.IFD.GPSInfo)
    except Exception:  # of the many that Pillow raises
        return False


def _prohibition(packet: bytes) -> str | None:
    for found in _DATA_MINING.finditer(packet):
        if prohibited := _PROHIBITED.search(found[1] or found[2] or b""):
            return prohibited[0].decode().upper()
    for found in _CONSTRAINTS.finditer(packet):
        words = found[1] or found[2] or b""
        if _MINING_IN_WORDS.search(words) and _DENIAL_IN_WORDS.search(words):
            return "OtherConstraints"
    return None


def _packets(body: bytes) -> Iterator[bytes]:
    """The XMP packets of a JPEG, PNG, WebP or GIF."""
    if body.startswith(b"\xff\xd8"):
        yield from _of_jpeg(body)
    elif body.startswith(b"\x89PNG"):
        yield from _of_png(body)
    elif body.startswith(b"RIFF"):
        yield from _of_webp(body)
    elif body.startswith(b"GIF8") and (start := body.find(_GIF_XMP)) >= 0:
        yield body[start + len(_GIF_XMP) :][:MOST_BYTES]


def _of_jpeg(body: bytes) -> Iterator[bytes]:
    pieces = []  # of one packet that is too long for a segment
    for segment in islice(_jpeg_segments(body), MOST_BLOCKS):
        if segment.startswith(_JPEG_XMP):
            yield segment[len(_JPEG_XMP) :]
        elif segment.startswith(_JPEG_MORE_XMP):
            pieces.append(segment[_JPEG_MORE_XMP_HEADER:])
    yield b"".join(pieces)


def _jpeg_segments(body: bytes) -> Iterator[bytes]:
    """The contents of APP1 segments before the pixels."""
    at = 2
    while (segment := _JPEG_SEGMENT.match(body, at)) and segment[1] != _JPEG_SCAN:
        end = segment.start(2) + int.from_bytes(segment[2], "big")
        yield body[segment.end() : end] if segment[1] == _JPEG_APP1 else b""
        at = end


def _of_png(body: bytes) -> Iterator[bytes]:
    for name, data in islice(_png_chunks(body), MOST_BLOCKS):
        if name == b"iTXt" and data.startswith(_PNG_XMP):
            packed, rest = data[len(_PNG_XMP) :][:1], data[len(_PNG_XMP) + 2 :]
            text = rest.split(b"\0", 2)[-1]  # behind the language, and the keyword in this language
            yield _unpacked(text) if packed == b"\1" else text
        elif name == b"tEXt" and data.startswith(_PNG_RAW_XMP):
            yield _from_digits(data[len(_PNG_RAW_XMP) :])
        elif name == b"zTXt" and data.startswith(_PNG_RAW_XMP):
            yield _from_digits(_unpacked(data[len(_PNG_RAW_XMP) + 1 :]))


def _png_chunks(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at + 8 <= len(body):
        end = at + 8 + int.from_bytes(body[at : at + 4], "big")
        name = body[at + 4 : at + 8]
        yield name, body[at + 8 : end] if name.endswith(b"Xt") else b""
        at = end + 4


def _of_webp(body: bytes) -> Iterator[bytes]:
    at = 12
    for _ in range(MOST_BLOCKS):
        start, size = at + 8, int.from_bytes(body[at + 4 : at + 8], "little")
        if body.startswith((b"XMP ", b"XMP\0"), at):  # some programs write the latter
            yield body[start : start + size]
        at = start + size + size % 2
        if at >= len(body):
            return


def _unpacked(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, MOST_BYTES)
    except zlib.error:
        return b""


def _from_digits(text: bytes) -> bytes:
    """Of "\\nxmp\\n   length\\n" and lines of hexadecimal digits."""
    try:
        return bytes.fromhex("".join(text.decode("ascii").split()[2:]))
    except ValueError:
        return b""
