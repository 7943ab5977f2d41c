"""Streets at night: a canyon of lit fronts over wet asphalt, and lights out of focus. Lengths are in metres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pixcrawler.demo import noise
from pixcrawler.demo.film import blurred, enlarged
from pixcrawler.demo.noise import Field

WARM, RED = np.array((1.0, 0.85, 0.6), np.float32), np.array((1.0, 0.2, 0.15), np.float32)
SODIUM = np.array((1.0, 0.55, 0.2), np.float32)
NEON = np.array([SODIUM, RED, (0.2, 0.6, 1.0), (1.0, 0.25, 0.6), (0.3, 1.0, 0.6), WARM], np.float32)
STOREY, BAY, SHOP = 3.1, 1.9, 4.5


@dataclass(frozen=True, slots=True)
class Street:
    """A straight street that runs to a vanishing point, with the camera above its middle."""

    vanish: tuple[float, float]  # column and row
    focal: float  # pixels
    eye: float
    left: float
    right: float

    def seen(self, x: float, y: float, z: float) -> tuple[float, float]:
        """The column and row of a place."""
        return self.vanish[0] + self.focal * x / z, self.vanish[1] - self.focal * (y - self.eye) / z


def canyon(rng: np.random.Generator, width: int, height: int) -> Field:
    """A street between lit fronts after rain, (height, width, 3), linear light."""
    vanish = (width * rng.uniform(0.25, 0.75), height * rng.uniform(0.42, 0.66))
    focal = max(width, height) * rng.uniform(0.6, 1.1)
    street = Street(vanish, focal, rng.uniform(1.5, 5.0), rng.uniform(5, 14), rng.uniform(5, 14))
    row, column = np.mgrid[0:height, 0:width].astype(np.float32)
    leftward = column < vanish[0]
    reach = np.where(leftward, street.left, street.right).astype(np.float32)
    z = reach * np.float32(focal) / np.maximum(np.abs(column - vanish[0]), 1.5)
    y = street.eye + (vanish[1] - row) / np.float32(focal) * z
    view = _fronts_and_puddles(rng, street, row, column, np.minimum(z, 400), y, leftward)
    _lamps(rng, street, view)
    _traffic(rng, street, view)
    return view


def _fronts_and_puddles(
    rng: np.random.Generator,
    street: Street,
    row: Field,
    column: Field,
    z: Field,
    y: Field,
    leftward: npt.NDArray[np.bool_],
) -> Field:
    """Fronts where rays meet them above the ground, and their reflection where rays meet the ground first."""
    nearness = 72 / np.maximum(row - street.vanish[1], 2)
    ripple = noise.look_up(noise.rough(), (column - street.vanish[0]) * nearness, z * 0.2 + row * 2)
    wet = y < 0
    height = np.where(wet, -y * (1 + 0.35 * ripple) + 0.4 * np.abs(ripple), y)
    fronts, roof = _fronts(rng, z, height, leftward)
    haze = np.array([0.08, 0.0615, 0.056], np.float32) * np.float32(rng.uniform(0.5, 1.8))
    view = fronts + (haze - fronts) * (1 - np.exp(-z / rng.uniform(60, 260)))[:, :, None]
    above = np.clip(street.vanish[1] - row, 0, None) / len(row)
    view = np.where((height > roof)[:, :, None], haze * np.exp(-above * 2)[:, :, None] * 0.8, view)
    gloss = np.clip(0.42 + 0.2 * ripple, 0.08, 0.9)[:, :, None]
    return np.asarray(np.where(wet[:, :, None], view * gloss + 0.006, view), np.float32)


def _fronts(rng: np.random.Generator, z: Field, y: Field, leftward: npt.NDArray[np.bool_]) -> tuple[Field, Field]:
    """The light of walls, flats, shops and signs along both sides, and the height of the roofs."""
    number = np.floor(z / rng.uniform(9, 20)) * 2 + leftward + rng.integers(1 << 16)
    house = noise.cells(number)
    roof = 9 + 26 * noise.chance(house) * rng.uniform(0.5, 2.2)
    brick = np.clip(1 + 0.25 * noise.look_up(noise.rough(), z * 9, y * 16), 0.3, 2)
    wall = (0.014 + 0.05 * np.exp(-y / 6) * (0.5 + noise.chance(house + 1))) * brick
    colour = wall[:, :, None] * SODIUM + _flats(number, z, y)[:, :, None] * WARM
    shop = noise.cells(number, z / SHOP)
    neon = NEON[(noise.chance(shop + 1) * len(NEON)).astype(np.intp)]
    goods = np.clip(0.7 + 0.5 * noise.look_up(noise.rough(), z * 28, y * 40), 0.1, 2)
    across = np.abs(z / SHOP % 1 - 0.5)
    display = (y < 3.2) * (across < 0.42) * np.clip(noise.chance(shop) * 2.4 - 0.7, 0, 1.6) * goods
    letters = noise.look_up(noise.grain(), z * 3.5, y * 2.5) > -0.1
    sign = (np.abs(y - 3.8) < 0.32) * (across < 0.34) * (noise.chance(shop + 2) > 0.5) * (0.25 + 1.5 * letters)
    colour = colour + display[:, :, None] * (0.6 * WARM + 0.4 * neon) + sign[:, :, None] * neon
    return np.asarray(colour, np.float32), np.asarray(roof, np.float32)


def _flats(house: Field, z: Field, y: Field) -> Field:
    """How bright the windows above the shops are."""
    storey, bay = (y - 4.2) / STOREY, z / BAY
    window = noise.cells(house, storey, bay)
    pane = (np.abs(storey % 1 - 0.5) < 0.28) & (np.abs(bay % 1 - 0.5) < 0.27) & (storey >= 0)
    curtain = 0.6 + 0.4 * noise.chance(window + 1)
    return np.asarray(pane * curtain * np.clip((noise.chance(window) - 0.62) * 4, 0, 1.4), np.float32)


def _lamps(rng: np.random.Generator, street: Street, view: Field) -> None:
    """Adds street lamps on both sides, in place."""
    for z in np.arange(8, 150, rng.uniform(12, 26)):
        for x in (-0.8 * street.left, 0.8 * street.right):
            _disc(view, *street.seen(x, 7.0, z), street.focal * 0.22 / z + 0.8, WARM * 7)


def _traffic(rng: np.random.Generator, street: Street, view: Field) -> None:
    """Adds head lights on the left, tail lights on the right and their reflections, in place."""
    half = min(street.left, street.right)
    for z in rng.uniform(9, 110, rng.integers(4, 22)):
        lane = rng.uniform(0.15, 0.6) * half * rng.choice([-1, 1])
        colour = WARM * 5 if lane < 0 else RED * 3
        radius = street.focal * 0.12 / z + 0.8
        for wheel in (-0.7, 0.7):
            x, y = street.seen(lane + wheel, 0.75, z)
            _disc(view, x, y, radius, colour)
            _disc(view, x, y + 1.6 * street.focal / z, radius, colour * np.float32(0.25), stretch=5)


def _disc(view: Field, x: float, y: float, radius: float, colour: Field, stretch: float = 1.0) -> None:
    """Adds a disc of light with a smooth edge, `stretch` times as tall as wide, in place."""
    height, width = view.shape[:2]
    left, right = max(0, int(x - radius - 2)), min(width, int(x + radius + 3))
    top, bottom = max(0, int(y - radius * stretch - 2)), min(height, int(y + radius * stretch + 3))
    if left < right and top < bottom:
        rows, columns = np.mgrid[top:bottom, left:right].astype(np.float32)
        reach = np.hypot(columns - x, (rows - y) / stretch)
        view[top:bottom, left:right] += np.clip(radius - reach + 0.5, 0, 1)[:, :, None] * colour


def out_of_focus(rng: np.random.Generator, width: int, height: int) -> Field:
    """A street's lights as large discs, (height, width, 3), linear light."""
    background = canyon if rng.random() < 0.75 else _dusk
    small = np.minimum(background(rng, width // 4, height // 4), 2)
    view = enlarged(blurred(small, width / rng.uniform(50, 200)), width, height)
    size = width * rng.uniform(0.015, 0.05)
    colours = NEON[rng.integers(0, len(NEON), rng.integers(2, 6))]
    rows = rng.uniform(0.15, 0.85, (rng.integers(1, 5), 2))  # lights stand in rows that meet in the middle
    for _ in range(rng.integers(25, 110)):
        start, along = rows[rng.integers(len(rows))], rng.uniform(0, 1) ** 2
        x = width * (start[0] + rng.choice([-1, 1]) * along * 0.8 + rng.normal(0, 0.05))
        y = height * (start[1] + (0.5 - start[1]) * along + rng.normal(0, 0.09))
        radius = size * rng.uniform(0.6, 1.15)
        colour = colours[rng.integers(len(colours))] * np.float32(rng.exponential(0.35) + 0.06)
        _disc(view, x, y, radius, colour)
        _disc(view, x, y, radius * 0.9, colour * np.float32(-0.18))  # a lens makes the rim brighter
    return np.maximum(view, 0)


def _dusk(rng: np.random.Generator, width: int, height: int) -> Field:
    """A plain evening sky, (height, width, 3)."""
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    top = np.array([0.02, 0.03, 0.09], np.float32) * np.float32(rng.uniform(0.3, 1))
    low = NEON[rng.integers(len(NEON))] * np.float32(rng.uniform(0.01, 0.06))
    return np.repeat(top + (low - top) * down, width, axis=1)
