"""What stands between the camera and a lake: pines, a bank, stones, a jetty."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from pixcrawler.demo import noise
from pixcrawler.demo.noise import Field

OVERSAMPLED = 2  # shapes are drawn larger and scaled down, for smooth edges

Point = tuple[float, float]
Shape = Callable[[np.random.Generator, ImageDraw.ImageDraw, int, int], None]


def place(rng: np.random.Generator, light: Field, shape: Shape, colour: Field) -> None:
    """Draws a shape of one material over a light field, (height, width, 3), in place."""
    height, width = light.shape[:2]
    mask = Image.new("L", (width * OVERSAMPLED, height * OVERSAMPLED))
    shape(rng, ImageDraw.Draw(mask), *mask.size)
    cover = np.asarray(mask.resize((width, height), Image.Resampling.BOX), np.float32)[:, :, None] / 255
    texture = noise.rough()[np.arange(height)[:, None] % noise.SIDE, np.arange(width) * 2 % noise.SIDE]
    material = np.clip(1 + 0.45 * texture, 0.1, 3)[:, :, None] * colour
    light += (material - light) * cover


def pines(rng: np.random.Generator, draw: ImageDraw.ImageDraw, width: int, height: int) -> None:
    """Conifers at one or both sides, tall enough to leave the picture."""
    for side in ((0.0,), (1.0,), (0.0, 1.0))[rng.integers(3)]:
        for _ in range(rng.integers(2, 6)):
            inward = abs(rng.normal(0, 0.13)) * (1 if side == 0 else -1)
            _pine(rng, draw, (side + inward) * width, height * rng.uniform(0.98, 1.15), height * rng.uniform(0.5, 1.05))


def _pine(rng: np.random.Generator, draw: ImageDraw.ImageDraw, x: float, foot: float, tall: float) -> None:
    draw.line([(x, foot), (x, foot - tall)], fill=255, width=max(2, int(tall * 0.012)))
    for level in np.linspace(0.08, 1, int(tall / 7)):
        reach = tall * 0.19 * (1 - level) ** 0.85 * rng.uniform(0.55, 1.15) + 2
        y = foot - tall * level
        droop = reach * rng.uniform(0.15, 0.5)
        for direction in (-1, 1):
            tip = (x + direction * reach * rng.uniform(0.7, 1.1), y + droop)
            draw.polygon([(x, y - tall * 0.018), tip, (x, y + droop * 0.55)], fill=255)


def bank(rng: np.random.Generator, draw: ImageDraw.ImageDraw, width: int, height: int) -> None:
    """A grassy bank along the lower edge."""
    x = np.arange(0, width, 3)
    slope = rng.uniform(-0.12, 0.12)
    edge = height * (rng.uniform(0.86, 0.95) + slope * (x / width - 0.5))
    edge = edge + 0.02 * height * noise.cloudy()[rng.integers(noise.SIDE)][(x // 4) % noise.SIDE]
    outline = [(0, height), *zip(x.tolist(), edge.tolist(), strict=True), (width, edge[-1]), (width, height)]
    draw.polygon(outline, fill=255)
    for left, top, lean, tall in zip(x, edge, rng.normal(0, 9, len(x)), rng.exponential(14, len(x)), strict=True):
        draw.line([(left, top + 2), (left + lean, top - tall)], fill=255, width=2)


def stones(rng: np.random.Generator, draw: ImageDraw.ImageDraw, width: int, height: int) -> None:
    """Stones in shallow water, larger towards the camera."""
    for down in np.sort(rng.uniform(0, 1, rng.integers(12, 50))):
        size = width * (0.006 + 0.05 * down**2) * rng.uniform(0.4, 1.4)
        x, y = rng.uniform(-0.05, 1.05) * width, height * (0.78 + 0.24 * down)
        turns = np.linspace(0, 2 * np.pi, 11)[:-1]
        reach = size * rng.uniform(0.75, 1.1, len(turns))
        outline = np.stack([x + reach * np.cos(turns), y + reach * 0.5 * np.sin(turns)], axis=1)
        draw.polygon([tuple(point) for point in outline.tolist()], fill=255)


def jetty(rng: np.random.Generator, draw: ImageDraw.ImageDraw, width: int, height: int) -> None:
    """A wooden jetty that runs from the lower edge into the lake, plank by plank."""
    far = (width * rng.uniform(0.3, 0.7), height * rng.uniform(0.68, 0.78))
    near = (width * rng.uniform(0.2, 0.8), height * 1.05)
    for distance in np.linspace(1, 6, 46):
        front, back = ((1 / d - 1 / 6) * 1.2 for d in (distance, distance + 0.09))
        left_front, right_front = _across(near, far, width, front)
        left_back, right_back = _across(near, far, width, back)
        draw.polygon([left_front, right_front, right_back, left_back], fill=235)


def _across(near: Point, far: Point, width: int, share: float) -> tuple[Point, Point]:
    """The ends of a line across the jetty, `share` of the way from its far end to its near one."""
    x, y = far[0] + (near[0] - far[0]) * share, far[1] + (near[1] - far[1]) * share
    half = width * (0.03 + 0.22 * share)
    return (x - half, y), (x + half, y)
