"""Which share of each kind of picture a preset of `pixcrawler.quality` refuses, and where its figures lie.

All pictures are made here, many of each kind: `.venv/bin/python benchmarks/quality.py [-n PICTURES]`. Folders of real
ones are further kinds: `--folder NAME=DIR`.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from pixcrawler.demo import pictures
from pixcrawler.errors import NotAnImage
from pixcrawler.imaging import inspect
from pixcrawler.items import Figures, Inspection
from pixcrawler.quality import PRESETS, limited, preset, verdict

SHOWN = ("sharpness", "contrast", "brightest", "dark", "entropy", "shades")
WORDS = ("image not available", "no photo", "404", "coming soon", "This image has been removed")

Maker = Callable[[int], Image.Image]


def photograph(seed: int) -> Image.Image:
    """By day and by night, sharp somewhere."""
    return pictures.paint(list(pictures.PAINTERS)[seed % 2], seed)


def toned(seed: int, low: float, high: float) -> Image.Image:
    """The same in a part of the grey levels, from 0 to 1."""
    levels = np.asarray(photograph(seed), dtype=np.float32)
    return _image(255 * low + levels * (high - low))


def blurred(seed: int, radius: float) -> Image.Image:
    return photograph(seed).filter(ImageFilter.GaussianBlur(radius))


def enlarged(seed: int) -> Image.Image:
    image = photograph(seed)
    return image.reduce(8).resize(image.size, Image.Resampling.BICUBIC)


def shallow(seed: int) -> Image.Image:
    """Out of focus but for a ninth of it."""
    sharp = photograph(seed)
    width, height = sharp.size
    box = (width // 3, height // 3, 2 * width // 3, 2 * height // 3)
    image = blurred(seed, 8)
    image.paste(sharp.crop(box), box[:2])
    return image


def product(seed: int) -> Image.Image:
    """Something on white, of a tenth to a half of the picture."""
    image = photograph(seed)
    random = np.random.default_rng(seed)
    shape = Image.new("L", image.size)
    radius = min(image.size) * random.uniform(0.2, 0.45)
    middle = (image.width / 2, image.height / 2)
    ImageDraw.Draw(shape).ellipse([*(at - radius for at in middle), *(at + radius for at in middle)], fill=255)
    return Image.composite(image, Image.new("RGB", image.size, "white"), shape.filter(ImageFilter.GaussianBlur(2)))


def moon(seed: int) -> Image.Image:
    """Something bright and small before black, with grain."""
    random = np.random.default_rng(seed)
    down, right = np.mgrid[:480, :640]
    disc = np.hypot(down - 240, right - 320) < random.uniform(15, 120)
    levels = 6 + disc * (random.uniform(140, 240) - 60 * np.hypot(down - 230, right - 300) / 160)
    return _image((levels + random.normal(0, 3, levels.shape))[..., np.newaxis].repeat(3, axis=2))


def silhouette(seed: int) -> Image.Image:
    """Black before a plain evening sky."""
    random = np.random.default_rng(seed)
    down, right = np.mgrid[:480, :640]
    sky = 230 - down * random.uniform(0.05, 0.3)
    hills = down > 300 + 60 * np.sin(right / random.uniform(30, 90) + seed)
    levels = np.where(hills, 8, sky) + random.normal(0, 2.5, sky.shape)
    return _image(levels[..., np.newaxis] * (1, 0.8, 0.6))


def drawing(seed: int) -> Image.Image:
    """A few plain shapes."""
    random = np.random.default_rng(seed)
    image = Image.new("RGB", (500, 500), "white")
    pen = ImageDraw.Draw(image)
    for _ in range(random.integers(3, 12)):
        left, top = random.integers(0, 380, 2).tolist()
        width, height = random.integers(40, 200, 2).tolist()
        colour = tuple(random.integers(0, 255, 3).tolist())
        shape = pen.ellipse if random.random() < 0.5 else pen.rectangle
        shape((left, top, left + width, top + height), fill=colour, outline="black", width=3)
    return image


def icon(seed: int) -> Image.Image:
    """One shape in one colour."""
    random = np.random.default_rng(seed)
    image = Image.new("RGB", (512, 512), "white")
    points = [tuple(point) for point in random.integers(80, 430, (random.integers(3, 9), 2)).tolist()]
    ImageDraw.Draw(image).polygon(points, fill=tuple(random.integers(0, 160, 3).tolist()))
    return image


def text(seed: int) -> Image.Image:
    """A page."""
    random = np.random.default_rng(seed)
    image = Image.new("RGB", (600, 800), "white")
    pen = ImageDraw.Draw(image)
    for line in range(40, 760, 18):
        words = " ".join("abcdefghij"[: random.integers(1, 10)] for _ in range(12))
        pen.text((40, line), words, fill="black", font_size=13)
    return image


def chart(seed: int) -> Image.Image:
    """A curve between axes."""
    random = np.random.default_rng(seed)
    image = Image.new("RGB", (640, 480), "white")
    pen = ImageDraw.Draw(image)
    pen.line([(60, 20), (60, 440), (620, 440)], fill="black", width=2)
    for colour in ("navy", "crimson")[: 1 + seed % 2]:
        heights = 230 + np.cumsum(random.normal(0, 12, 56))
        pen.line([(60 + 10 * at, float(height)) for at, height in enumerate(heights)], fill=colour, width=3)
    return image


def placeholder(seed: int) -> Image.Image:
    """Says that there is no picture."""
    random = np.random.default_rng(seed)
    grey = int(random.integers(190, 256))
    image = Image.new("RGB", (500, 400), (grey, grey, grey))
    pen = ImageDraw.Draw(image)
    shade = int(random.integers(90, 170))
    if seed % 2:
        pen.rectangle((200, 120, 300, 190), outline=(shade, shade, shade), width=6)
        pen.polygon([(205, 185), (240, 145), (270, 185)], fill=(shade, shade, shade))
    word = WORDS[seed % len(WORDS)]
    pen.text((250, 230), word, fill=(shade, shade, shade), font_size=int(random.integers(14, 34)), anchor="mm")
    return image


def solid(seed: int) -> Image.Image:
    return Image.new("RGB", (400, 300), tuple(np.random.default_rng(seed).integers(0, 256, 3).tolist()))


def gradient(seed: int) -> Image.Image:
    random = np.random.default_rng(seed)
    one, other = random.integers(0, 256, (2, 3))
    return _image(np.linspace(one, other, 400)[:, np.newaxis] * np.ones((1, 300, 1)))


def _image(levels: np.ndarray) -> Image.Image:
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8))


KINDS: dict[str, Maker] = {
    "photographs": photograph,
    "  at a third of the light": lambda seed: toned(seed, 0, 0.33),
    "  in fog": lambda seed: toned(seed, 0.55, 0.85),
    "  overexposed": lambda seed: toned(seed, 0.6, 1.3),
    "  sharp in a ninth": shallow,
    "  on white": product,
    "moons": moon,
    "silhouettes": silhouette,
    "drawings": drawing,
    "icons": icon,
    "pages of text": text,
    "charts": chart,
    "blurred, sigma 2": lambda seed: blurred(seed, 2),
    "blurred, sigma 4": lambda seed: blurred(seed, 4),
    "blurred, sigma 8": lambda seed: blurred(seed, 8),
    "enlarged 8 times": enlarged,
    "at a twentieth of light": lambda seed: toned(seed, 0, 0.05),
    "placeholders": placeholder,
    "gradients": gradient,
    "one colour": solid,
}


def made(maker: Maker, count: int) -> Iterator[Inspection]:
    """JPEGs of several qualities, some at half the size, every fifth a PNG."""
    for seed in range(count):
        image = maker(seed)
        if seed % 3 == 2:
            image = image.resize((image.width * 3 // 5, image.height * 3 // 5), Image.Resampling.LANCZOS)
        file = BytesIO()
        image.save(file, "png" if seed % 5 == 4 else "jpeg", quality=60 + seed * 7 % 36)
        yield inspect(file.getvalue())


def real(folder: Path) -> Iterator[Inspection]:
    """Every picture below a folder."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            try:
                yield inspect(path.read_bytes())
            except NotAnImage:
                continue


def report(kind: str, found: list[Inspection]) -> None:
    """A line for each preset that refuses some of them, then where the figures lie."""
    print(f"\n{kind.strip()} ({len(found)})")
    for name in PRESETS:
        policy = limited(preset(name), min_side=1, max_aspect=1000)
        reasons = Counter(refusal[0].value for each in found if (refusal := verdict(each, policy)))
        shares = ", ".join(f"{reason} {number / len(found):.0%}" for reason, number in reasons.most_common())
        print(f"  {name:9} {sum(reasons.values()) / len(found):4.0%}  {shares}")
    for name in SHOWN:
        figures = [getattr(each.figures, name) for each in found if isinstance(each.figures, Figures)]
        low, middle, high = np.percentile(figures, (2, 50, 98))
        print(f"    {name:9} {low:9.2f} {middle:9.2f} {high:9.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=60, help="pictures of each kind")
    parser.add_argument("--folder", action="append", default=[], metavar="NAME=DIR")
    arguments = parser.parse_args()
    print("share refused by each preset; the 2nd, 50th and 98th percentile of each figure")
    for kind, maker in KINDS.items():
        report(kind, list(made(maker, arguments.n)))
    for name, _, folder in (given.partition("=") for given in arguments.folder):
        report(name, list(real(Path(folder))))


if __name__ == "__main__":
    main()
