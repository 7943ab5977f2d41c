"""From the bytes of a picture to those of a smaller one, in another format, or without metadata. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import NamedTuple

from PIL import Image, ImageCms

from pixcrawler import answers, containers, stripping
from pixcrawler.errors import NotAnImage
from pixcrawler.export_options import MAX_SIDE, Encode
from pixcrawler.imaging import MAX_PIXELS, SIDEWAYS, orientation_of, refusals, refuse_bombs, upright

EXTENSIONS = {"jpeg": "jpg", "png": "png", "webp": "webp", "gif": "gif"}
LOSSY = ("jpeg", "webp")
QUALITY = 95  # nobody sees the difference, and what tools for training data use

_SRGB = ImageCms.createProfile("sRGB")


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is done to a picture."""

    resize: tuple[int, int] | None  # width and height, pixels
    max_side: int | None
    encode: Encode
    strip_metadata: bool
    quality: int = QUALITY  # of JPEG and WebP


class Rewritten(NamedTuple):
    """A picture that has changed. Its metadata is gone, its colours are sRGB."""

    body: bytes
    format: str
    width: int
    height: int


def rewrite(recipe: Recipe, body: bytes) -> Rewritten | None:
    """None: there is nothing to change. Of an animation that is encoded anew, the first frame is left.

    Raises `NotAnImage`, whatever the bytes.
    """
    kind = containers.format_of(body)
    with refusals():
        image = Image.open(BytesIO(body), formats=[kind])
        refuse_bombs(image, frames=1)
        target = kind if recipe.encode == Encode.KEEP else recipe.encode.value
        orientation = orientation_of(image)
        cut = _cut(recipe, *(image.size[::-1] if orientation in SIDEWAYS else image.size))
        turned = recipe.strip_metadata and orientation > 1  # nothing would say any more that it is to be
        if target != kind or cut.shrinks or turned:
            return _encoded(image, orientation, cut, target, recipe.quality)
        bare = stripping.stripped(body) if recipe.strip_metadata else body
        return Rewritten(bare, kind, cut.width, cut.height) if bare != body else None


def credible(found: object) -> Rewritten | None:
    """What a worker says it has made, if an honest one could have. Raises `answers.Foreign`."""
    if found is None or (isinstance(found, Rewritten) and _is_picture(found)):
        return found
    raise answers.Foreign


def _is_picture(made: Rewritten) -> bool:
    sides = (made.width, made.height)
    if type(made.body) is not bytes or not all(type(side) is int and 0 < side <= MAX_PIXELS for side in sides):
        return False
    try:
        return containers.format_of(made.body) == made.format
    except NotAnImage:
        return False


class _Cut(NamedTuple):
    """Which part of an upright picture is taken, and its size afterwards."""

    left: float  # the part, as shares of the picture
    top: float
    right: float
    bottom: float
    width: int  # pixels afterwards
    height: int
    shrinks: bool


def _cut(recipe: Recipe, width: int, height: int) -> _Cut:
    """What fills `resize`, from the middle, or all of it within `max_side`. Never larger than it is."""
    most_wide, most_high = recipe.resize or (width, height)
    scale = (
        max(most_wide / width, most_high / height)
        if recipe.resize
        else (recipe.max_side or MAX_SIDE) / max(width, height)
    )
    scale = min(1, scale)
    new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
    wide, high = min(1, most_wide / new_width), min(1, most_high / new_height)
    left, top = (1 - wide) / 2, (1 - high) / 2
    size = min(most_wide, new_width), min(most_high, new_height)
    return _Cut(left, top, left + wide, top + high, *size, shrinks=size != (width, height))


def _encoded(image: Image.Image, orientation: int, cut: _Cut, target: str, quality: int) -> Rewritten:
    longer = max(cut.width / (cut.right - cut.left), cut.height / (cut.bottom - cut.top))
    times = max(image.size) / (2 * longer)  # a JPEG is decoded to no less than twice the size, which looks the same
    image.draft(None, (round(image.width / times), round(image.height / times)) if times > 1 else image.size)
    picture = upright(_in_srgb(image), orientation)
    if picture.size != (cut.width, cut.height):
        width, height = picture.size
        box = (cut.left * width, cut.top * height, cut.right * width, cut.bottom * height)
        picture = picture.resize((cut.width, cut.height), Image.Resampling.LANCZOS, box)
    if target == "jpeg":
        picture = _over_white(picture)
    file = BytesIO()
    picture.save(file, target, **({"quality": quality} if target in LOSSY else {}))
    return Rewritten(file.getvalue(), target, cut.width, cut.height)


def _in_srgb(image: Image.Image) -> Image.Image:
    """In 8 bits, as L, RGB or RGBA, with nothing but pixels."""
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I"):  # 16 bits, of which a plain conversion keeps the wrong 8
        picture = image.point(lambda level: level / 256).convert("L")
    elif image.has_transparency_data:
        picture = image.convert("RGBA")
    elif image.mode in ("1", "L"):
        picture = image.convert("L")
    elif image.mode == "CMYK":
        picture = image.copy()
    else:
        picture = image.convert("RGB")
    if profile:
        picture = _converted(picture, profile)
    picture = picture.convert("RGB") if picture.mode == "CMYK" else picture.copy()
    picture.info.clear()
    return picture


def _converted(picture: Image.Image, profile: bytes) -> Image.Image:
    """From the colours of its profile; as it is if the profile is broken or of other colours."""
    mode = "RGBA" if picture.mode == "RGBA" else "RGB"
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        converted = ImageCms.profileToProfile(picture, source, _SRGB, outputMode=mode)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return picture
    assert converted is not None
    return converted.convert("L") if picture.mode == "L" else converted


def _over_white(picture: Image.Image) -> Image.Image:
    if picture.mode != "RGBA":
        return picture
    white = Image.new("RGB", picture.size, "white")
    white.paste(picture, mask=picture.getchannel("A"))
    return white
