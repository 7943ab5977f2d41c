"""From bytes to an `Inspection`: what a picture is, whether it is whole, and its fingerprints. Pure, one decode."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray
from PIL import Image, WebPImagePlugin

from pixcrawler import containers, looks, metadata
from pixcrawler.errors import NotAnImage
from pixcrawler.items import Figures, Inspection
from pixcrawler.jobs import Reason

assert WebPImagePlugin.SUPPORTED  # and loaded: else the first WebP loads all decoders Pillow has

MAX_PIXELS = 50_000_000  # 200 MB decoded; the largest cameras in common use make 50 megapixels
MAX_FRAMES = 1000
MAX_SCANS = 100  # of a JPEG, each a walk over all its blocks; the most elaborate encoders write 20
FLAT_CONTRAST = 12  # grey levels between the 1st and the 99th percentile; no photograph has less

_LEAST = 341  # pixels of the longer side at which a JPEG is decoded at least, to an eighth, quarter or half of it
_THUMBNAIL = (256, 256)  # every hash is made from this size, so that the scale of the decoding hardly shows
_HASHED = 32  # pixels a side, and
_WAVES = 8  # the slowest waves of it are the 64 bits
_MEASURED = 512  # pixels of the longer side, or two thirds to one and a half of them, at which sharpness is measured
_BLOCK_ROWS = 12  # about as many, all over the picture, are looked at for sharpness: some 700 blocks
_SAMPLED = 5 * looks.CHROMA  # pixels a side whose colours are looked at
_SHADES = 32  # into which grey levels are sorted
_SHOWS = 0.001  # the share of the pixels from which on a shade counts
_PERCENTILES = (0.001, 0.01, 0.05, 0.99, 0.999)  # darkest, low, dark, high, brightest
_EIGHT = np.full(8, 1 / 64, np.float32)  # a product with it is 5 times as fast as a sum over so few
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
SIDEWAYS = frozenset({5, 6, 7, 8})


def inspect(body: bytes) -> Inspection:
    """Looks at the whole file and decodes its first frame once.

    Raises `NotAnImage` with the reason NOT_AN_IMAGE, DAMAGED or BOMB, whatever the bytes.
    """
    return hashed(look_into(body), body)


def hashed(found: Inspection, body: bytes) -> Inspection:
    """What was found, with what is true of the bytes whatever they show."""
    return replace(found, sha256=hashlib.sha256(body).hexdigest(), size=len(body))


def look_into(body: bytes) -> Inspection:
    """`inspect` without `hashed`: whoever has the bytes need believe nobody about them."""
    kind = containers.format_of(body)
    with refusals():
        most = MAX_SCANS if kind == "jpeg" else MAX_FRAMES
        end, parts = containers.extent(kind, body, most)
        if parts > most:
            raise NotAnImage(Reason.BOMB, f"has more than {most} {'scans' if kind == 'jpeg' else 'frames'}")
        image = Image.open(BytesIO(body), formats=[kind])
        frames = parts if kind == "gif" else _frames(kind, image)
        refuse_bombs(image, frames)
        width, height = image.size
        image.draft("YCbCr", _draft_size(width, height))
        image.load()
        orientation = orientation_of(image)
        lying, colours = _on_white(image)
        times = round(max(lying.size) / _MEASURED)
        small = lying.reduce(times) if times > 1 else lying
        levels = np.asarray(small)
        small.thumbnail(_THUMBNAIL, Image.Resampling.BILINEAR, reducing_gap=1.0)  # 4 times as fast as the default
        grey = upright(small, orientation)
        square = grey.resize((looks.SIDE, looks.SIDE), Image.Resampling.BOX)
        hashed = phash(square)
        figures, contrast = _figures(levels, _histogram(grey))
        flat = contrast < FLAT_CONTRAST
        if orientation in SIDEWAYS:
            width, height = height, width
        return Inspection(
            sha256="",
            size=0,
            format=kind,
            width=width,
            height=height,
            frames=frames,
            phash=hashed,
            flat=flat,
            figures=figures,
            orientation=orientation,
            trailing_data=containers.trailing_data(kind, body, end),
            data_mining=metadata.data_mining(body),
            gps=metadata.has_gps(image),
            looks=None if flat else looks.look(np.asarray(square), _chroma(upright(colours, orientation)), hashed),
        )


def phash(grey: Image.Image) -> int:
    """The 64-bit perceptual hash of a grey picture, the same bits as `imagehash.phash`; unsigned."""
    pixels = np.asarray(grey.resize((_HASHED, _HASHED), Image.Resampling.LANCZOS), dtype=np.float64)
    waves: NDArray[np.float64] = np.round(_COSINES @ pixels @ _COSINES.T, _NOISE_DIGITS)
    return int.from_bytes(np.packbits(waves > looks.middle(waves.reshape(1, -1))).tobytes(), "big")


@contextmanager
def refusals() -> Iterator[None]:
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
            unpacked = "MAX_TEXT" in str(error)  # Pillow's limits for texts and profiles of a PNG
            raise NotAnImage(Reason.BOMB if unpacked else Reason.DAMAGED, _one_line(error)) from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def refuse_bombs(image: Image.Image, frames: int) -> None:
    """Raises `NotAnImage` as BOMB by what the header says, before anything is decoded."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise NotAnImage(Reason.BOMB, f"has {width}x{height} pixels, more than {MAX_PIXELS // 1_000_000} million")
    if frames > MAX_FRAMES:
        raise NotAnImage(Reason.BOMB, f"has more than {MAX_FRAMES} frames")


def _frames(kind: str, image: Image.Image) -> int:
    if kind == "jpeg":
        return 1  # further pictures of a multi-picture JPEG are previews and depth maps
    return int(getattr(image, "n_frames", 1))


def _draft_size(width: int, height: int) -> tuple[int, int]:
    times = max(1, max(width, height) // _LEAST)
    return max(1, width // times), max(1, height // times)


def orientation_of(image: Image.Image) -> int:
    """What its metadata says; 1, upright, if that is broken."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # broken EXIF is no broken picture
        return 1


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """The picture as this orientation wants it seen."""
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _on_white(image: Image.Image) -> tuple[Image.Image, Image.Image]:
    """What a viewer shows on a white page: in levels of grey, and some of its pixels in YCbCr."""
    if image.mode == "YCbCr":
        return image.getchannel("Y"), _sample(image)
    if image.mode.startswith("I"):  # 16 bits, of which a plain conversion keeps the wrong 8
        grey = image.point(lambda level: level / 256).convert("L")
        return grey, _sample(grey).convert("RGB").convert("YCbCr")
    if image.has_transparency_data:
        with_alpha = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("L", image.size, 255)
        grey = Image.composite(with_alpha.convert("L"), white, with_alpha.getchannel("A"))
        sample = _sample(with_alpha)
        page = Image.new("RGBA", sample.size, "white")
        return grey, Image.alpha_composite(page, sample).convert("RGB").convert("YCbCr")
    return image.convert("L"), _sample(image).convert("RGB").convert("YCbCr")


def _sample(image: Image.Image) -> Image.Image:
    """Every so many pixels: colours change slowly, and theirs are compared coarsely."""
    return image.resize((_SAMPLED, _SAMPLED), Image.Resampling.NEAREST)


def _chroma(sample: Image.Image) -> NDArray[np.uint8]:
    """Cb and Cr, 12x12 of each."""
    return np.asarray(sample.reduce(_SAMPLED // looks.CHROMA))[..., 1:].transpose(2, 0, 1)


def _histogram(grey: Image.Image) -> NDArray[np.float64]:
    """The shares of the grey levels."""
    return np.array(grey.histogram()) / (grey.width * grey.height)


def _figures(levels: NDArray[np.uint8], shares: NDArray[np.float64]) -> tuple[Figures, int]:
    """The figures, and the contrast: grey levels between the 1st and the 99th percentile."""
    darkest, low, dark, high, brightest = np.cumsum(shares).searchsorted(_PERCENTILES).tolist()
    shades = shares.reshape(_SHADES, -1).sum(axis=1)
    some = shares[shares > 0]
    figures = Figures(
        sharpness=_sharpness(levels),
        darkest=darkest,
        dark=dark,
        brightest=brightest,
        entropy=float(-(some * np.log2(some)).sum()),
        shades=int((shades >= _SHOWS).sum()),
    )
    return figures, high - low


def _sharpness(levels: NDArray[np.uint8]) -> float:
    """The 95th percentile, over some rows of blocks of 8x8 pixels, of the variance of the Laplacian."""
    height, width = levels.shape
    apart = 8 * max(2, height // (8 * _BLOCK_ROWS))
    columns, blocks = (width - 2) // 8 * 8, (height - 10) // apart + 1  # rows of them
    if columns <= 0 or blocks <= 0:
        return 0.0
    down, right = levels.strides
    lines = as_strided(levels, (blocks, 10, columns + 2), (apart * down, down, right), writeable=False)
    rows = lines.astype(np.int16)
    edges = 4 * rows[:, 1:-1, 1:-1]
    for neighbours in (rows[:, :-2, 1:-1], rows[:, 2:, 1:-1], rows[:, 1:-1, :-2], rows[:, 1:-1, 2:]):
        edges -= neighbours
    bends = edges.astype(np.float32)
    return _percentile((_block_means(bends * bends) - _block_means(bends) ** 2).ravel(), 0.95)


def _block_means(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """The means of blocks of 8x8, of an array of rows of blocks, rows and columns."""
    means: NDArray[np.float32] = np.add.reduce(rows, axis=1).reshape(len(rows), -1, 8) @ _EIGHT
    return means


def _percentile(numbers: NDArray[np.float32], share: float) -> float:
    """What `np.percentile` says, in a fifth of the time."""
    at = share * (len(numbers) - 1)
    below = int(at)
    above = min(below + 1, len(numbers) - 1)
    ordered = np.partition(numbers, (below, above))
    return float(ordered[below] + (ordered[above] - ordered[below]) * (at - below))
