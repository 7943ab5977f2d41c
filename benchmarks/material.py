"""Distinct pictures of several kinds: from packages of Debian's, fetched into a folder, and made here."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image
from quality import chart, drawing, gradient, icon, placeholder, solid, text

PACKAGES = (
    *("mate-backgrounds", "plasma-workspace-wallpapers", "lxqt-themes", "ukui-wallpapers"),
    *("tuxpaint-stamps-default", "openclipart-png", "gimp-help-en", "stellarium-data"),
)
# Of the wallpapers those that are photographs; others are drawn.
PHOTOGRAPHS = (
    *("Aqua", "Blinds", "Dune", "FreshFlower", "Garden", "GreenMeadow", "LadyBird", "RainDrops", "Storm", "TwoWings"),
    *("Wood", "YellowFlower", "Autumn", "FallenLeaf", "ColdRipple", "ColorfulCups", "EveningGlow", "Kite", "Path"),
    *("OneStandsOut", "fog", "after-the-rain", "this-is-not-windows", "Butterfly-Kenneth-Wimer", "appleflower"),
    *("calla", "goldfish", "the-mouse", "desert", "city"),
)
LONGEST = 1024  # pixels; larger originals would only take longer


def fetch(folder: Path) -> None:
    """Downloads and unpacks what is not there yet."""
    for package in PACKAGES:
        place = folder / package
        if not place.exists():
            subprocess.run(["apt-get", "download", "-q", package], cwd=folder, check=True)
            (file,) = folder.glob(f"{package}_*.deb")
            subprocess.run(["dpkg", "-x", file.name, package], cwd=folder, check=True)
            file.unlink()


def kinds(folder: Path, most: int) -> dict[str, list[Image.Image]]:
    """At most so many pictures of each kind, none of them twice."""
    share = {package: folder / package / "usr/share" for package in PACKAGES}
    walls = [share[package] for package in PACKAGES[:4]]
    found = {
        "photographs": _tiles(_wallpapers(walls, photographs=True)),
        "drawn wallpapers": _wallpapers(walls, photographs=False),
        "products on white": _pictures([share["tuxpaint-stamps-default"]], "*.png", least=100),
        "nebulae": _pictures([share["stellarium-data"] / "stellarium/nebulae"], "*.png", least=100),
        "clip art": _pictures([share["openclipart-png"]], "*.png", least=100),
        "screenshots": _pictures([share["gimp-help-en"]], "*.png", least=120),
        "made here": _made(),
    }
    return {kind: list(islice(_distinct(pictures), most)) for kind, pictures in found.items()}


def _pictures(folders: list[Path], pattern: str, least: int) -> Iterator[Image.Image]:
    paths = sorted(path for folder in folders for path in folder.rglob(pattern))
    np.random.default_rng(7).shuffle(paths)  # type: ignore[arg-type]
    for path in paths:
        picture = _opened(path)
        if picture is not None and min(picture.size) >= least and max(picture.size) < 4 * min(picture.size):
            yield picture


def _opened(path: Path) -> Image.Image | None:
    try:
        image = Image.open(path)
        if image.mode == "I;16" or image.width * image.height > 50_000_000:
            return None
        image.draft("RGB", (2 * LONGEST, 2 * LONGEST))
        if image.has_transparency_data:
            page = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(page, image.convert("RGBA"))
        return image.convert("RGB")
    except (OSError, SyntaxError, ValueError):
        return None


def _wallpapers(folders: list[Path], *, photographs: bool) -> Iterator[Image.Image]:
    """The largest file of each wallpaper; others are the same one in other sizes, or with a logo."""
    paths = [path for folder in folders for path in folder.rglob("*") if path.suffix in (".jpg", ".png", ".webp")]
    groups: dict[str, list[Path]] = {}
    for path in sorted(paths):
        if "contents/images/" in str(path):
            groups.setdefault(path.parents[2].name, []).append(path)
        elif ("wallpapers/" in str(path) and "contents" not in str(path)) or "backgrounds/" in str(path):
            groups.setdefault(path.stem.split("_")[0], []).append(path)
    for name, files in groups.items():
        if (name in PHOTOGRAPHS) is photographs:
            picture = _opened(max(files, key=lambda path: path.stat().st_size))
            if picture is not None and min(picture.size) >= 480:
                picture.thumbnail((2 * LONGEST, 2 * LONGEST))
                yield picture


def _tiles(pictures: Iterator[Image.Image]) -> Iterator[Image.Image]:
    """Two by three parts of each, which have nothing in common."""
    for picture in pictures:
        width, height = picture.width // 3, picture.height // 2
        for left in range(3):
            for top in range(2):
                yield picture.crop((left * width, top * height, (left + 1) * width, (top + 1) * height))


def _made() -> Iterator[Image.Image]:
    for seed in range(80):
        yield from (maker(seed) for maker in (text, chart, placeholder, drawing, icon, gradient, solid))


def _distinct(pictures: Iterator[Image.Image]) -> Iterator[Image.Image]:
    """Those that differ from all before in 4 levels on average, seen in small: packages hold true copies too."""
    seen: list[np.ndarray] = []
    for picture in pictures:
        small = np.asarray(picture.resize((24, 24), Image.Resampling.BOX), np.float32)
        if all(np.abs(small - other).mean() >= 4 for other in seen):
            seen.append(small)
            picture.thumbnail((LONGEST, LONGEST))
            yield picture
