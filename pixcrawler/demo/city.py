"""Cities at night, seen from across the water or from above: blocks of towers with lit windows. Lengths are in km."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pixcrawler.demo import noise
from pixcrawler.demo.heightfield import Camera
from pixcrawler.demo.noise import Field

DEPTHS = 380  # walls are as exact as the steps between depths
PLOTS = 128  # building plots along one side of the city, which repeats
PLOT = 0.045
STOREY = 0.0036
BAYS = 11  # windows along a plot

SKIES = np.array(  # zenith and horizon, linear
    [
        [(0.004, 0.006, 0.018), (0.05, 0.035, 0.03)],
        [(0.012, 0.025, 0.07), (0.09, 0.10, 0.15)],
        [(0.02, 0.035, 0.09), (0.20, 0.10, 0.06)],
        [(0.008, 0.008, 0.016), (0.06, 0.04, 0.05)],
        [(0.022, 0.021, 0.022), (0.12, 0.08, 0.05)],
        [(0.004, 0.010, 0.020), (0.02, 0.05, 0.07)],
    ],
    np.float32,
)
SODIUM = np.array((1.0, 0.62, 0.28), np.float32)
LAMPS = np.array([SODIUM, (1.0, 0.78, 0.48), (0.85, 0.92, 1.0), (0.55, 0.8, 1.0), (1.0, 0.42, 0.2)], np.float32)
COMMON = np.array([0.34, 0.68, 0.86, 0.94, 1.0])  # up to which chance a window has which lamp


@dataclass(frozen=True, slots=True)
class Scene:
    """One city at one hour, drawn from a seed."""

    camera: Camera
    sky: Field  # zenith and horizon, (2, 3)
    shore: float  # where the water ends; 0 where there is none
    towers: Field  # heights, (PLOTS, PLOTS)
    haze: float  # per km
    turn: float  # of the streets, radians
    offsets: Field  # into the noise tiles
    rng: np.random.Generator


@dataclass(frozen=True, slots=True)
class Points:
    """Points of the city, each field of shape (points,)."""

    a: Field  # in plots along the streets, and across them
    b: Field
    y: Field
    z: Field
    roof: Field  # height of what stands there; 0 is a street

    @property
    def plot(self) -> noise.Cells:
        """The number of the plot."""
        return noise.cells(self.a, self.b)


def skyline(rng: np.random.Generator, width: int, height: int) -> Field:
    """Towers across the water, (height, width, 3), linear light."""
    horizon, focal = height * rng.uniform(0.5, 0.78), max(width, height) * rng.uniform(0.8, 2.0)
    camera = Camera(width, height, horizon, focal, eye=rng.uniform(0.005, 0.05))
    scene = _scene(rng, camera, shore=rng.uniform(0.8, 2.0), tall=rng.uniform(0.03, 0.1))
    view, dry = _land(scene)
    row, column = np.nonzero(~dry & (np.arange(height)[:, None] > horizon))
    view[row, column] = _water(scene, view, row.astype(np.float32), column.astype(np.float32))
    return view


def from_above(rng: np.random.Generator, width: int, height: int) -> Field:
    """The city from a roof or a hill, (height, width, 3), linear light."""
    horizon, focal = height * rng.uniform(0.02, 0.42), max(width, height) * rng.uniform(0.7, 1.4)
    camera = Camera(width, height, horizon, focal, eye=rng.uniform(0.14, 0.5))
    return _land(_scene(rng, camera, shore=0.0, tall=rng.uniform(0.01, 0.09)))[0]


def _scene(rng: np.random.Generator, camera: Camera, shore: float, tall: float) -> Scene:
    sky = SKIES[rng.integers(len(SKIES))] * np.float32(rng.uniform(0.7, 1.5))
    haze, turn = rng.uniform(0.05, 0.3), rng.uniform(0.1, 1.4)
    offsets = rng.uniform(0, noise.SIDE, 5).astype(np.float32)
    return Scene(camera, sky, shore, _towers(rng, tall), haze, turn, offsets, rng)


def _towers(rng: np.random.Generator, tall: float) -> Field:
    """The heights of a city with centres and squares, (PLOTS, PLOTS)."""
    step = noise.SIDE // PLOTS
    centre = np.clip(noise.cloudy()[::step, ::step] + rng.uniform(-0.2, 0.9), 0, 2)
    houses = (rng.gamma(1.6, 0.012, (PLOTS, PLOTS)) + 0.01) * (0.4 + centre)
    towers = np.minimum(houses + centre**2 * rng.exponential(tall, (PLOTS, PLOTS)), 0.42)
    towers[rng.random((PLOTS, PLOTS)) < 0.12] = 0
    return np.asarray(np.roll(towers, tuple(rng.integers(0, PLOTS, 2).tolist()), axis=(0, 1)), np.float32)


def _land(scene: Scene) -> tuple[Field, npt.NDArray[np.bool_]]:
    """The view without its water, and which pixels show the city."""
    camera, view = scene.camera, _sky(scene)
    depths = np.geomspace(max(0.12, scene.shore * 0.9), 9, DEPTHS).astype(np.float32)
    x, z = camera.plan(depths)
    heights = _heights(scene, x, z)
    index, _ = camera.first_hit(heights, depths)
    row, column = np.nonzero(index < DEPTHS)
    index = index[row, column]
    x, z = x[index, column], z[index, column]
    a, b = _along_streets(scene, x, z)
    view[row, column] = _city(scene, Points(a, b, camera.seen(row, column, z)[1], z, heights[index, column]))
    dry = np.zeros(view.shape[:2], np.bool_)
    dry[row, column] = z >= scene.shore
    return view, dry


def _along_streets(scene: Scene, x: Field, z: Field) -> tuple[Field, Field]:
    """Places in the city's own directions, in plots."""
    cosine, sine = np.float32(np.cos(scene.turn) / PLOT), np.float32(np.sin(scene.turn) / PLOT)
    return x * cosine - z * sine, x * sine + z * cosine


def _heights(scene: Scene, x: Field, z: Field) -> Field:
    a, b = _along_streets(scene, x, z)
    towers = scene.towers[np.floor(a).astype(np.intp) % PLOTS, np.floor(b).astype(np.intp) % PLOTS]
    built = (np.abs(a % 1 - 0.5) < 0.36) & (np.abs(b % 1 - 0.5) < 0.36) & (z > scene.shore)
    return np.asarray(towers * (built & ~_open(scene, a, b)), np.float32)


def _open(scene: Scene, a: Field, b: Field) -> npt.NDArray[np.bool_]:
    """Where a city without a shore has its river and parks."""
    if scene.shore:
        return np.zeros(a.shape, np.bool_)
    bend = noise.look_up(noise.cloudy(), a * 1.3 + scene.offsets[3], b * 1.3 + scene.offsets[4])
    return np.asarray((np.abs(bend + 0.4) < 0.13) | (bend > 1.5), np.bool_)


def _city(scene: Scene, at: Points) -> Field:
    """The light of walls, roofs and streets at points, (points, 3)."""
    character = noise.chance(at.plot)
    sideways = np.abs(at.a % 1 - 0.5) > np.abs(at.b % 1 - 0.5)
    paint = ((0.25 + 0.9 * character) * np.where(sideways, 1.0, 0.45).astype(np.float32))[:, None]
    lamplight = np.exp(-np.clip(at.y, 0, None) / 0.018)[:, None] * SODIUM * 0.12
    wall = (scene.sky[1] * 0.14 + scene.sky[0] * 0.5 + 0.004 + lamplight) * paint
    colour = wall + _windows(at, character) * (at.y < at.roof - 0.002)[:, None]
    colour = np.where((at.roof > 0)[:, None], colour, _street(scene, at)[:, None] * SODIUM)
    air = (1 - np.exp(-scene.haze * at.z))[:, None]
    return np.asarray(colour + (scene.sky[1] * 0.8 + SODIUM * 0.02 - colour) * air, np.float32)


def _windows(at: Points, character: Field) -> Field:
    """The light of windows, (points, 3): by window, by storey and by house more or fewer of them are lit."""
    storey, bay = at.y / STOREY, (at.a + at.b) * BAYS
    window = noise.cells(at.a, at.b, storey, bay)
    awake = noise.chance(window) + 0.5 * noise.chance(noise.cells(at.a, at.b, storey)) + 0.5 * character
    pane = (np.abs(storey % 1 - 0.5) < 0.3) & (np.abs(bay % 1 - 0.5) < 0.34)
    far = np.clip(at.z / 3.5, 0, 1)  # windows smaller than a pixel
    shining = np.clip((awake - 1.22) * 4, 0, 1.5) * (pane * (1 - far) + 0.45 * far)
    lamp = LAMPS[np.searchsorted(COMMON, noise.chance(window + 1))]
    return np.asarray(shining[:, None] * lamp * 1.7, np.float32)


def _street(scene: Scene, at: Points) -> Field:
    """How bright streets are, (points,): lamps, traffic, avenues; parks and the river hardly are."""
    traffic = noise.look_up(noise.rough(), at.a * 9 + scene.offsets[0], at.b * 9)
    avenue = (np.abs((at.a + 0.5) % 7 - 0.5) < 0.2) | (np.abs((at.b + 0.5) % 9 - 0.5) < 0.2)
    lamps = np.clip(0.14 + 0.18 * traffic, 0.03, 3) * (1 + 6 * (traffic > 1.5)) * (1 + 2.5 * avenue)
    return np.where(_open(scene, at.a, at.b), 0.012 + 0.5 * (traffic > 2.3), lamps).astype(np.float32)


def _sky(scene: Scene) -> Field:
    camera = scene.camera
    y, x = np.mgrid[0 : camera.height, 0 : camera.width].astype(np.float32)
    rise = np.clip((camera.horizon - y) / camera.focal, 0, None)
    distance = 1 / (rise + 0.2)
    u = (x - camera.width / 2) / camera.focal * distance * 40 + scene.offsets[1]
    clouds = noise.look_up(noise.cloudy(), u, distance * 60) * np.clip(rise * 12, 0, 1)
    clear = scene.sky[0] + (scene.sky[1] - scene.sky[0]) * np.exp(-rise[:, :1] * 3.5)[:, :, None]
    return np.asarray(clear * np.clip(0.8 + 0.35 * clouds, 0.3, 2)[:, :, None], np.float32)


def _water(scene: Scene, view: Field, row: Field, column: Field) -> Field:
    """The city's lights drawn out by the waves, (pixels, 3)."""
    camera = scene.camera
    below = np.clip(row - camera.horizon, 0.7, None)
    far = camera.height / below
    wave = noise.look_up(noise.rough(), (column - camera.width / 2) * far * 0.25 + scene.offsets[2], far * 70)
    wave *= np.float32(scene.rng.uniform(0.3, 1.4))
    side = np.clip(column + wave * 2, 0, camera.width - 1).astype(np.intp)
    light = np.zeros((len(row), 3), np.float32)
    for stretch in (0.35, 0.6, 0.85, 1.1):
        up = np.abs(camera.horizon - below * stretch - wave * (2 + below * 0.1)).astype(np.intp)
        light += view[np.minimum(up, camera.height - 1), side]
    return np.asarray(light * 0.22 + scene.sky[0] * 0.15, np.float32)
