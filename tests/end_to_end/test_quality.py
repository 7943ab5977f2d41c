"""What `scrapy crawl` keeps: every byte as it was served, and what its quality preset lets in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from loopback import Crawl, Web, crawl, web
from pictures import animation, encoded, photo, png
from PIL import Image, ImageCms


@pytest.fixture
def loopback() -> Iterator[Web]:
    with web() as server:
        yield server


def crawl_list(tmp_path: Path, urls: list[str], *more: str) -> Crawl:
    tmp_path.mkdir(exist_ok=True)
    path = tmp_path / "list.txt"
    path.write_text("".join(f"{url}\n" for url in urls))
    return crawl(tmp_path / "data", "urls", "-a", f"list={path}", *more)


def exif() -> Image.Exif:
    """Lying on its side, taken somewhere."""
    made = Image.Exif()
    made[0x0112] = 6
    made[0x010F] = "a camera"
    made.get_ifd(0x8825)[1] = "N"
    return made


def sixteen_bits() -> bytes:
    levels = np.asarray(photo(16, (256, 256)).convert("L")).astype(np.uint16) * 256 + 77
    return png(256, 256, b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels), bits=16)


def translucent(seed: int) -> Image.Image:
    image = photo(seed)
    image.putalpha(photo(seed + 1).convert("L"))
    return image


def served() -> dict[str, bytes]:
    """Files of every kind by their names."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return {
        "plain.jpg": encoded(photo(1), quality=31, comment=b"an odd one"),
        "progressive.jpg": encoded(photo(2), progressive=True),
        "grey.jpg": encoded(photo(3).convert("L")),
        "cmyk.jpg": encoded(photo(4).convert("CMYK")),
        "rotated.jpg": encoded(photo(5), exif=exif()),
        "profile.jpg": encoded(photo(6), icc_profile=profile),
        "previews.jpg": encoded(photo(7), "mpo", save_all=True, append_images=[photo(8, (90, 60))]),
        "appended.jpg": encoded(photo(9)) + b"more bytes",
        "plain.png": encoded(photo(10), "png", compress_level=1),
        "palette.png": encoded(photo(11).quantize(), "png"),
        "alpha.png": encoded(translucent(12), "png", icc_profile=profile, exif=exif()),
        "sixteen.png": sixteen_bits(),
        "animated.png": animation("png", 3, (320, 240)),
        "plain.webp": encoded(photo(20), "webp", exif=exif(), icc_profile=profile),
        "lossless.webp": encoded(translucent(21), "webp", lossless=True, exact=True),
        "plain.gif": encoded(photo(22), "gif"),
        "animated.gif": encoded(photo(23), "gif", save_all=True, append_images=[photo(24)]),
    }


def test_stores_every_byte_as_it_was_served(tmp_path: Path, loopback: Web) -> None:
    files = {loopback.put(f"/{name}", body): body for name, body in served().items()}
    ended = crawl_list(tmp_path, list(files))
    assert "Traceback" not in ended.log
    assert {line["url"]: line["reason"] for line in ended.manifest} == dict.fromkeys(files)
    for line in ended.kept:
        assert (ended.folder / line["file"]).read_bytes() == files[line["url"]]
    rotated = next(line for line in ended.kept if line["url"].endswith("rotated.jpg"))
    assert (rotated["width"], rotated["height"]) == (480, 640)


def test_a_preset_chooses(tmp_path: Path, loopback: Web) -> None:
    grain = np.random.default_rng(0).normal(0, 12, (480, 640, 1))
    sharp = Image.fromarray((np.asarray(photo(30)) + grain).clip(0, 255).astype(np.uint8))
    good = loopback.put("/good.jpg", encoded(sharp))
    urls = {
        loopback.put("/solid.jpg", encoded(Image.new("RGB", (640, 480), "teal"))): ("kept", "blank", "blank"),
        loopback.put("/page.jpg", encoded(photo(31)) + b"<script>"): ("kept", "trailing_data", "trailing_data"),
        loopback.put("/soft.jpg", encoded(photo(32))): ("kept", "kept", "blurred"),
        loopback.put("/moving.gif", animation("gif", 3, (640, 480))): ("kept", "kept", "format"),
        loopback.put("/small.jpg", encoded(photo(33, (99, 99)))): ("too_small", "too_small", "too_small"),
    }
    for place, name in enumerate(("lenient", "standard", "strict")):
        ended = crawl_list(tmp_path / name, [good, *urls], "-a", f"quality={name}")
        assert ended.reasons == {good: "kept", **{url: expected[place] for url, expected in urls.items()}}


def test_an_unknown_preset_is_one_line(tmp_path: Path) -> None:
    ended = crawl(tmp_path, "urls", "-a", "list=x.txt", "-a", "quality=harsh")
    assert ended.status == 2
    assert "quality: there is no preset 'harsh'" in ended.log.splitlines()[-1]
