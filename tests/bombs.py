"""Small files that ask for much: pixels, frames, scans, or texts that unpack to more than anybody reads."""

from __future__ import annotations

import struct
import zlib

from PIL import Image

from tests.pictures import chunk, encoded, gif_bomb, photo, png, png_bomb, webp_bomb

MB = 2**20


def bombs() -> dict[str, bytes]:
    """By what they do."""
    zeros = zlib.compress(bytes(100 * MB), 9)
    nearly_allowed = zlib.compress(bytes(MB - 1), 9)
    return {
        "png of 144 megapixels": png_bomb(),
        "png header of 4 gigapixels": png(65535, 65535, bytes(9)),
        "png one row too high": png(7071, 7072, bytes(9)),
        "png of 16 bits": png(30000, 30000, bytes(9), bits=16, color=6),
        "png text": png(8, 8, bytes(72), extra=chunk(b"zTXt", b"a\0\0" + zeros)),
        "png international text": png(8, 8, bytes(72), extra=chunk(b"iTXt", b"a\0\1\0\0\0" + zeros)),
        "png colour profile": png(8, 8, bytes(72), extra=chunk(b"iCCP", b"a\0\0" + zeros)),
        "png many texts": png(8, 8, bytes(72), extra=chunk(b"zTXt", b"a\0\0" + nearly_allowed) * 200),
        "png frames": png(8, 8, bytes(72), extra=chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))),
        "gif frames": gif_bomb(200_000),
        "gif screen": gif(65535, 65535, 1, 1),
        "gif frame outside its screen": gif(1, 1, 65535, 65535),
        "jpeg header": jpeg(65500, 65500),
        "jpeg header, progressive": jpeg(65500, 65500, progressive=True),
        "jpeg scans": many_scans(20_000),
        "webp of 34 bytes": webp_bomb(16384, 16384),
        "webp canvas": webp_canvas(16384, 16384, frames=1),
        "webp frames": webp_canvas(16, 16, frames=1001),
    }


def gif(width: int, height: int, frame_width: int, frame_height: int) -> bytes:
    """One frame on a screen, both of any size; without the pixels for it."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(3) + b"\xff" * 3
    return head + b"," + struct.pack("<HHHHB", 0, 0, frame_width, frame_height, 0) + b"\x02\x02\x44\x01\x00;"


def jpeg(width: int, height: int, *, progressive: bool = False) -> bytes:
    """A JPEG whose header lies about its size."""
    body = encoded(photo(0, (64, 64)), progressive=progressive)
    at = body.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    return body[: at + 5] + struct.pack(">HH", height, width) + body[at + 9 :]


def many_scans(scans: int) -> bytes:
    """A progressive JPEG of four megapixels that refines the same few coefficients over and over."""
    body = encoded(Image.new("L", (2000, 2000), 128), progressive=True)
    last = body[body.rindex(b"\xff\xda") : -2]
    return body[:-2] + last * scans + body[-2:]


def webp_canvas(width: int, height: int, frames: int) -> bytes:
    """An animation of small frames on a canvas."""
    small = encoded(Image.new("RGB", (16, 16)), "webp", lossless=True)[12:]
    size = [part.to_bytes(3, "little") for part in (width - 1, height - 1, 15, 15)]
    frame = bytes(6) + size[2] + size[3] + bytes(4) + small
    chunks = riff(b"VP8X", b"\x02" + bytes(3) + size[0] + size[1]) + riff(b"ANIM", bytes(6))
    body = b"WEBP" + chunks + riff(b"ANMF", frame) * frames
    return riff(b"RIFF", body)


def riff(name: bytes, data: bytes) -> bytes:
    """A chunk of a WebP."""
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)
