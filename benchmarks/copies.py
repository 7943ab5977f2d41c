"""What becomes of pictures on the web: each transform makes a copy's bytes from an original."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

Transform = Callable[[Image.Image, np.random.Generator], bytes]


def _encoded(image: Image.Image, kind: str = "jpeg", **options: object) -> bytes:
    file = BytesIO()
    image.save(file, kind, **({"quality": 85} if kind == "jpeg" and not options else options))
    return file.getvalue()


def _as(kind: str, **options: object) -> Transform:
    return lambda image, _: _encoded(image, kind, **options)


def _changed(change: Callable[[Image.Image], Image.Image]) -> Transform:
    return lambda image, _: _encoded(change(image))


def _sized(times: float) -> Transform:
    return _changed(lambda image: _scaled(image, times, times))


def _scaled(image: Image.Image, across: float, down: float) -> Image.Image:
    return image.resize((round(image.width * across), round(image.height * down)), Image.Resampling.LANCZOS)


def _thumbnail(side: int) -> Transform:
    def make(image: Image.Image) -> Image.Image:
        image = image.copy()
        image.thumbnail((side, side))
        return image

    return _changed(make)


def _curve(function: Callable[[float], float]) -> Transform:
    table = [min(255, max(0, round(255 * function(level / 255)))) for level in range(256)] * 3
    return _changed(lambda image: image.point(table))


def _warm(image: Image.Image) -> Image.Image:
    return Image.merge(
        "RGB", [band.point(lambda v, f=f: v * f) for band, f in zip(image.split(), (1.1, 1, 0.85), strict=True)]
    )


def _noisy(image: Image.Image, random: np.random.Generator) -> bytes:
    levels = np.asarray(image, np.float32)
    return _encoded(Image.fromarray((levels + random.normal(0, 8, levels.shape)).clip(0, 255).astype(np.uint8)))


def _cropped(share: float, *, centred: bool = False) -> Transform:
    """A share of both sides cut away, on both ends alike or as it comes."""

    def make(image: Image.Image, random: np.random.Generator) -> bytes:
        left, top = (share * (0.5 if centred else random.random()) for _ in range(2))
        kept = 1 - share
        box = (left, top, left + kept, top + kept)
        size = (image.width, image.height)
        return _encoded(image.crop(tuple(round(at * size[i % 2]) for i, at in enumerate(box))))  # type: ignore[arg-type]

    return make


def _framed(share: float, colour: str) -> Transform:
    return _changed(lambda image: ImageOps.expand(image, round(share * min(image.size)), colour))


def _letterboxed(image: Image.Image) -> Image.Image:
    """Black bars to a square."""
    side = max(image.size)
    return ImageOps.pad(image, (side, side), color="black")


def _captioned(image: Image.Image, random: np.random.Generator) -> bytes:
    """A bar with words below or above, as wide as the picture."""
    bar = round(image.height * random.uniform(0.1, 0.18))
    dark = random.random() < 0.5
    page = Image.new("RGB", (image.width, image.height + bar), "black" if dark else "white")
    below = random.random() < 0.7
    page.paste(image, (0, 0 if below else bar))
    middle = (image.width // 2, image.height + bar // 2 if below else bar // 2)
    words = " ".join(random.choice(["when", "the", "weather", "is", "fine", "again", "somewhere"], 5))
    ImageDraw.Draw(page).text(middle, words, "white" if dark else "black", font_size=bar * 2 // 5, anchor="mm")
    return _encoded(page)


def _marked(image: Image.Image, random: np.random.Generator, *, size: float, at: tuple[float, float]) -> bytes:
    layer = Image.new("RGBA", image.size)
    where = (image.width * at[0], image.height * at[1])
    ImageDraw.Draw(layer).text(where, "© example.org", (255, 255, 255, 130), font_size=image.width * size, anchor="mm")
    return _encoded(Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB"))


def _reposted(image: Image.Image, random: np.random.Generator) -> bytes:
    """Smaller, compressed twice, cut a little, sharpened."""
    again = _scaled(Image.open(BytesIO(_encoded(image, quality=60))).convert("RGB"), 0.6, 0.6)
    width, height = again.size
    again = again.crop((round(0.01 * width), round(0.01 * height), round(0.99 * width), round(0.98 * height)))
    return _encoded(again.filter(ImageFilter.SHARPEN), quality=70)


def _rotated(degrees: float) -> Transform:
    def make(image: Image.Image) -> Image.Image:
        turned = image.rotate(degrees, Image.Resampling.BICUBIC)
        lost = np.tan(np.radians(degrees)) / 2 * max(image.size)
        return turned.crop((lost, lost, image.width - lost, image.height - lost))

    return _changed(make)


def _turned(image: Image.Image, _: np.random.Generator) -> bytes:
    """Lying, with EXIF to put it upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return _encoded(image.transpose(Image.Transpose.ROTATE_90), exif=exif, quality=85)


CORE: dict[str, Transform] = {
    "png": _as("png", compress_level=1),
    "jpeg 85": _as("jpeg", quality=85),
    "jpeg 60": _as("jpeg", quality=60),
    "jpeg 30": _as("jpeg", quality=30),
    "jpeg 10": _as("jpeg", quality=10),
    "webp 80": _as("webp", quality=80, method=0),
    "webp 40": _as("webp", quality=40, method=0),
    "gif": _changed(lambda image: image.quantize(128).convert("RGB")),
    "half": _sized(0.5),
    "quarter": _sized(0.25),
    "double": _sized(2),
    "thumbnail 200": _thumbnail(200),
    "thumbnail 100": _thumbnail(100),
    "thumbnail 64": _thumbnail(64),
    "grey": _changed(lambda image: image.convert("L")),
    "brighter": _curve(lambda x: x + 0.08),
    "darker": _curve(lambda x: x - 0.08),
    "more contrast": _changed(lambda image: ImageEnhance.Contrast(image).enhance(1.2)),
    "less contrast": _changed(lambda image: ImageEnhance.Contrast(image).enhance(0.8)),
    "gamma 0.7": _curve(lambda x: x**0.7),
    "gamma 1.4": _curve(lambda x: x**1.4),
    "more colour": _changed(lambda image: ImageEnhance.Color(image).enhance(1.5)),
    "warm": _changed(_warm),
    "autocontrast": _changed(lambda image: ImageOps.autocontrast(image, 1)),
    "blurred": _changed(lambda image: image.filter(ImageFilter.GaussianBlur(2))),
    "sharpened": _changed(lambda image: image.filter(ImageFilter.UnsharpMask(2, 120))),
    "noise": _noisy,
    "narrower": _changed(lambda image: _scaled(image, 0.9, 1)),
    "square": _changed(lambda image: image.resize((min(image.size), min(image.size)), Image.Resampling.LANCZOS)),
    "turned by EXIF": _turned,
}
LIGHT: dict[str, Transform] = {
    "crop 2 %": _cropped(0.02),
    "crop 5 %": _cropped(0.05),
    "border 3 % white": _framed(0.03, "white"),
    "border 5 % black": _framed(0.05, "black"),
    "watermark": lambda image, random: _marked(image, random, size=0.05, at=(0.75, 0.92)),
    "watermark, middle": lambda image, random: _marked(image, random, size=0.11, at=(0.5, 0.5)),
    "rotated 2°": _rotated(2),
    "reposted": _reposted,
    "filter": _changed(lambda image: ImageEnhance.Color(_warm(ImageOps.autocontrast(image))).enhance(1.3)),
}
HARD: dict[str, Transform] = {
    "letterbox": _changed(_letterboxed),
    "caption bar": _captioned,
    "crop 10 %": _cropped(0.1),
    "crop 10 %, middle": _cropped(0.1, centred=True),
    "crop 20 %": _cropped(0.2),
    "rotated 5°": _rotated(5),
    "mirrored": _changed(ImageOps.mirror),
}
FAMILIES = {"core": CORE, "light": LIGHT, "hard": HARD}
