"""From bytes to an `Inspection`: what a picture is, whether it is whole, and its fingerprints. Pure, one decode."""

from __future__ import annotations

import hashlib
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixcrawler.errors import NotAnImage
from pixcrawler.items import Inspection
from pixcrawler.jobs import Reason

MAX_PIXELS = 50_000_000  # 200 MB decoded; the largest cameras in common use make 50 megapixels
MAX_FRAMES = 1000
FLAT_CONTRAST = 12  # grey levels between the 1st and the 99th percentile; no photograph has less

_DRAFT = (512, 512)  # JPEG is decoded at the smallest eighth that is not smaller than this
_THUMBNAIL = (256, 256)  # every hash is made from this size, so that the scale of the decoding hardly shows
_HASHED = 32  # pixels a side, and
_WAVES = 8  # the slowest waves of it are the 64 bits
_COSINES = np.cos(np.pi / (2 * _HASHED) * np.outer(np.arange(_WAVES), 2 * np.arange(_HASHED) + 1))
_NOISE_DIGITS = 6  # rounding errors of the transform are near 1e-11; without this they decide bits of plain pictures

_ORIENTATION = 0x0112  # EXIF
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = frozenset({5, 6, 7, 8})


def inspect(body: bytes) -> Inspection:
    """Looks at the whole file and decodes its first frame once.

    Raises `NotAnImage` with the reason NOT_AN_IMAGE, DAMAGED or BOMB, whatever the bytes.
    """
    kind = _kind(body)
    with _refusals():
        image = Image.open(BytesIO(body), formats=[kind])
        frames = _frames(kind, body, image)
        _refuse_bombs(image, frames)
        if kind == "png":
            _walk_png(body)
        width, height = image.size
        image.draft("L", _DRAFT)
        image.load()
        orientation = _orientation(image)
        grey = _thumbnail(image, orientation)
        if orientation in _SIDEWAYS:
            width, height = height, width
        return Inspection(
            sha256=hashlib.sha256(body).hexdigest(),
            size=len(body),
            format=kind,
            width=width,
            height=height,
            frames=frames,
            phash=phash(grey),
            flat=_flat(grey),
        )


def verdict(inspection: Inspection, *, min_side: int, max_aspect: float) -> Reason | None:
    """TOO_SMALL when a side has fewer than `min_side` pixels, ASPECT when long : short is over `max_aspect`."""
    short, long = sorted((inspection.width, inspection.height))
    if short < min_side:
        return Reason.TOO_SMALL
    if long > max_aspect * short:
        return Reason.ASPECT
    return None


def phash(grey: Image.Image) -> int:
    """The 64-bit perceptual hash of a grey picture, the same bits as `imagehash.phash`; unsigned."""
    pixels = np.asarray(grey.resize((_HASHED, _HASHED), Image.Resampling.LANCZOS), dtype=np.float64)
    waves: NDArray[np.float64] = np.round(_COSINES @ pixels @ _COSINES.T, _NOISE_DIGITS)
    return int.from_bytes(np.packbits(waves > np.median(waves)).tobytes(), "big")


@contextmanager
def _refusals() -> Iterator[None]:
    """Turns everything Pillow can raise on hostile bytes into `NotAnImage`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd metadata of strangers' files
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            yield
        except NotAnImage:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise NotAnImage(Reason.BOMB, _one_line(error)) from None
        except MemoryError:
            raise NotAnImage(Reason.BOMB, "needs more memory than a picture may") from None
        except Exception as error:
            raise NotAnImage(Reason.DAMAGED, _one_line(error)) from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _kind(body: bytes) -> str:
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


def _refuse_bombs(image: Image.Image, frames: int) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise NotAnImage(Reason.BOMB, f"has {width}x{height} pixels, more than {MAX_PIXELS // 1_000_000} million")
    if frames > MAX_FRAMES:
        raise NotAnImage(Reason.BOMB, f"has more than {MAX_FRAMES} frames")


def _frames(kind: str, body: bytes, image: Image.Image) -> int:
    if kind == "gif":
        return _walk_gif(body)
    if kind == "jpeg":
        return 1  # further pictures of a multi-picture JPEG are previews and depth maps
    return int(getattr(image, "n_frames", 1))


def _walk_png(body: bytes) -> None:
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


def _walk_gif(body: bytes) -> int:
    """Counts the frames up to the trailer, no further than one over the limit."""
    at, frames = 13 + _palette_size(body[10]), 0
    try:
        while body[at] != ord(";") and frames <= MAX_FRAMES:
            if body[at] == ord(","):
                frames += 1
                at = _skip_blocks(body, at + 11 + _palette_size(body[at + 9]))
            elif body[at] == ord("!"):
                at = _skip_blocks(body, at + 2)
            else:
                at += 1  # stray bytes between blocks harm nobody
    except IndexError:
        raise NotAnImage(Reason.DAMAGED, "ends before its trailer") from None
    return frames


def _palette_size(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _skip_blocks(body: bytes, at: int) -> int:
    while length := body[at]:
        at += 1 + length
    return at + 1


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # broken EXIF is no broken picture
        return 1


def _thumbnail(image: Image.Image, orientation: int) -> Image.Image:
    """Grey, upright, at most 256 pixels."""
    grey = _grey(image)
    grey.thumbnail(_THUMBNAIL, Image.Resampling.BILINEAR, reducing_gap=1.0)  # 4 times as fast as the default
    return grey.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else grey


def _grey(image: Image.Image) -> Image.Image:
    """What a viewer shows on a white page, in levels of grey."""
    if image.mode.startswith("I"):  # 16 bits, of which a plain conversion keeps the wrong 8
        return image.point(lambda level: level / 256).convert("L")
    if image.has_transparency_data:
        with_alpha = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("L", image.size, 255)
        return Image.composite(with_alpha.convert("L"), white, with_alpha.getchannel("A"))
    return image.convert("L")


def _flat(grey: Image.Image) -> bool:
    """Whether hardly any contrast is left: such pictures all look alike to the hash."""
    shares = np.cumsum(grey.histogram()) / (grey.width * grey.height)
    low, high = np.searchsorted(shares, (0.01, 0.99))
    return bool(high - low < FLAT_CONTRAST)
