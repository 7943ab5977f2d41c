"""Mountain lakes: a landscape of ridges under a sky, mirrored in water. Lengths are in km."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pixcrawler.demo import noise
from pixcrawler.demo.heightfield import Camera
from pixcrawler.demo.noise import Field

DEPTHS = 220  # enough for ridges; more only costs time
TREE_LINE = 0.8


def rgb(red: float, green: float, blue: float) -> Field:
    """A linear colour, (3,)."""
    return np.array([red, green, blue], np.float32)


@dataclass(frozen=True, slots=True)
class Mood:
    """Light, weather and season."""

    zenith: Field
    horizon: Field
    sun: Field
    elevation: float  # of the sun, radians
    cover: float  # clouds, 0 to 1
    haze: float  # per km
    snow_line: float
    forest: Field


GREEN, DARK, GOLD = rgb(0.035, 0.06, 0.02), rgb(0.02, 0.035, 0.022), rgb(0.30, 0.15, 0.03)
ROCK = rgb(0.158, 0.15, 0.141)
SNOW = np.float32(0.62)
TURQUOISE = rgb(0.25, 0.55, 0.5)

MOODS = (
    Mood(rgb(0.10, 0.22, 0.52), rgb(0.55, 0.70, 0.88), rgb(1.9, 1.75, 1.5), 0.75, 0.35, 0.02, 2.2, GREEN),  # noon
    Mood(rgb(0.16, 0.26, 0.48), rgb(1.00, 0.72, 0.45), rgb(2.4, 1.5, 0.75), 0.28, 0.45, 0.045, 2.0, GREEN),  # evening
    Mood(rgb(0.20, 0.22, 0.42), rgb(0.95, 0.50, 0.45), rgb(1.8, 0.85, 0.6), 0.12, 0.55, 0.05, 1.6, DARK),  # alpenglow
    Mood(rgb(0.42, 0.46, 0.52), rgb(0.62, 0.66, 0.70), rgb(0.35, 0.36, 0.38), 0.9, 0.95, 0.09, 1.4, DARK),  # overcast
    Mood(rgb(0.12, 0.25, 0.55), rgb(0.60, 0.74, 0.90), rgb(1.9, 1.8, 1.65), 0.5, 0.25, 0.015, 0.5, DARK),  # winter
    Mood(rgb(0.14, 0.27, 0.52), rgb(0.75, 0.76, 0.78), rgb(2.1, 1.7, 1.2), 0.4, 0.40, 0.03, 1.9, GOLD),  # autumn
    Mood(rgb(0.03, 0.06, 0.16), rgb(0.22, 0.26, 0.42), rgb(0.16, 0.18, 0.30), 0.5, 0.30, 0.06, 1.7, DARK),  # blue hour
    Mood(rgb(0.10, 0.12, 0.28), rgb(1.60, 0.62, 0.18), rgb(3.0, 1.3, 0.4), 0.07, 0.50, 0.035, 2.3, DARK),  # sunset
    Mood(rgb(0.16, 0.20, 0.27), rgb(0.50, 0.55, 0.60), rgb(0.9, 0.85, 0.75), 0.6, 0.80, 0.05, 1.9, GREEN),  # rain
    Mood(rgb(0.60, 0.64, 0.68), rgb(0.82, 0.83, 0.82), rgb(0.55, 0.5, 0.42), 0.5, 0.60, 0.12, 1.8, DARK),  # fog
)


@dataclass(frozen=True, slots=True)
class Scene:
    """One place at one time, drawn from a seed."""

    camera: Camera
    mood: Mood
    sun_x: float  # from -1, the left edge, to 1, the right one; beyond them the sun is outside the picture
    offsets: Field  # into the noise tiles
    rng: np.random.Generator

    @property
    def haze(self) -> Field:
        """The colour of the air between here and far away."""
        return (self.mood.horizon * np.float32(0.6) + self.mood.zenith * np.float32(0.4)) * np.float32(0.85)


@dataclass(frozen=True, slots=True)
class Points:
    """Points of the landscape, each field of shape (points,)."""

    x: Field
    y: Field  # height
    z: Field  # depth
    along: Field  # slope from left to right
    away: Field  # slope away from the camera
    shade: Field  # 0 in the sun, 1 in the shadow of a ridge


def light(rng: np.random.Generator, width: int, height: int) -> Field:
    """The light of a mountain lake as a camera receives it, (height, width, 3), linear."""
    scene = _scene(rng, width, height)
    view = _sky(scene)
    depths = np.geomspace(0.7, 26, DEPTHS).astype(np.float32)
    heights = _heights(scene, depths)
    index, part = scene.camera.first_hit(heights + _trees(scene, heights, depths), depths)
    row, column = np.nonzero(index < DEPTHS)
    index, part = index[row, column], part[row, column]
    view[row, column] = _ground(scene, _points(scene, heights, depths, row, column, index, part))
    wet = heights[index, column] <= 0
    row, column = row[wet], column[wet]
    view[row, column] = _water(scene, view, row.astype(np.float32), column.astype(np.float32))
    return view


def _scene(rng: np.random.Generator, width: int, height: int) -> Scene:
    camera = Camera(
        width,
        height,
        horizon=height * rng.uniform(0.42, 0.68),
        focal=max(width, height) * rng.uniform(0.75, 1.5),
        eye=rng.uniform(0.004, 0.02),
    )
    mood = MOODS[rng.integers(len(MOODS))]
    return Scene(camera, mood, rng.uniform(-1.3, 1.3), rng.uniform(0, noise.SIDE, 12).astype(np.float32), rng)


def _heights(scene: Scene, depths: Field) -> Field:
    """The heights of the land, (depths, width); 0 is the lake, whose far shore bends."""
    x, z = scene.camera.plan(depths)
    o, rng = scene.offsets, scene.rng
    turn, texels = rng.uniform(0, 2 * math.pi), noise.SIDE / rng.uniform(28, 50)
    u = (x * math.cos(turn) - z * math.sin(turn)) * texels
    v = (x * math.sin(turn) + z * math.cos(turn)) * texels
    massif = noise.look_up(noise.ridged(), u + o[0], v + o[1])
    detail = noise.look_up(noise.ridged(), v * 3.7 + o[2], u * 3.7 + o[3])
    shore = rng.uniform(1.9, 4.5) + 0.4 * noise.look_up(noise.cloudy(), x * 25 + o[4], z * 25 + o[5])
    inland = np.clip((z - shore) / rng.uniform(2, 7), -0.2, 1)
    valley = np.abs(x / z - rng.uniform(-0.3, 0.3)) * rng.uniform(0.6, 2.2)
    flank = np.clip(0.25 + valley + np.clip((z - 12) / 14, 0, 0.4), 0, 1)
    summit = rng.uniform(1.6, 3.4)
    heights = inland * (flank * massif * (1.15 + 0.08 * detail) * summit + 0.05)
    return np.asarray(np.maximum(heights, 0), np.float32)


def _trees(scene: Scene, heights: Field, depths: Field) -> Field:
    """What conifers add to the heights, (depths, width): a row of them at each depth, of many sizes."""
    x, z = scene.camera.plan(depths)
    place = x / np.float32(0.008) + scene.rng.random((DEPTHS, 1), np.float32) * 100
    cone = 1 - 2 * np.abs(place % 1 - 0.5)
    size = 0.004 + 0.022 * noise.chance(noise.cells(place, np.arange(DEPTHS, dtype=np.float32)[:, None]))
    wooded = (heights > 0.002) & (heights < TREE_LINE)
    return np.asarray(cone * size * wooded * np.clip(1.5 - z / 8, 0, 1), np.float32)


def _points(
    scene: Scene,
    heights: Field,
    depths: Field,
    row: npt.NDArray[np.intp],
    column: npt.NDArray[np.intp],
    index: npt.NDArray[np.intp],
    part: Field,
) -> Points:
    """What pixels show, between the depth at `index` and the one before it."""
    surface = _surface(scene, heights, depths)
    nearer, farther = surface[:, np.maximum(index - 1, 0), column], surface[:, index, column]
    z, ground, along, away, shade = nearer + (farther - nearer) * part
    z = np.maximum(z, 0.3)
    x, y = scene.camera.seen(row, column, z)
    return Points(x, np.minimum(y, ground + 0.05), z, along, away, shade)


def _surface(scene: Scene, heights: Field, depths: Field) -> Field:
    """Depth, height, slope along x, slope along z and shade of the landscape, (5, depths, width)."""
    x, z = scene.camera.plan(depths)
    along = np.gradient(heights, axis=1) / (depths[:, None] / scene.camera.focal)
    away = np.gradient(heights, axis=0) / np.gradient(depths)[:, None]
    left = scene.sun_x < 0
    descent = heights + (x if left else -x) * math.tan(scene.mood.elevation)
    blocked = np.maximum.accumulate(descent if left else descent[:, ::-1], axis=1)
    shade = np.clip(((blocked if left else blocked[:, ::-1]) - descent - 0.02) * 12, 0, 1)
    return np.stack([z, heights, np.clip(along, -3, 3), np.clip(away, -3, 3), shade]).astype(np.float32)


def _ground(scene: Scene, at: Points) -> Field:
    """The light that points of the landscape send to the camera, (points, 3)."""
    mood, o = scene.mood, scene.offsets
    u, v = at.x * 34 + at.z * 5 + o[6], at.y * 52 + at.z * 9 + o[7]
    tone = noise.look_up(noise.rough(), u, v)
    bump = noise.look_up(noise.rough(), u + 1.2, v + 0.4) - tone
    fine = noise.look_up(noise.rough(), u * 4.3, v * 3.1)
    steep = np.sqrt(1 + at.along**2 + at.away**2)
    side = math.copysign(math.cos(mood.elevation), scene.sun_x)
    facing = (math.sin(mood.elevation) - (at.along + bump * 0.5) * side + (at.away + bump * 0.3) * 0.3) / steep
    sunlight = (np.clip(facing, 0, 1.3) * (1 - 0.85 * at.shade))[:, None] * mood.sun
    skylight = (0.42 + 0.28 / steep)[:, None] * mood.zenith
    colour = _albedo(mood, at.y, steep, tone, fine, bump) * (sunlight + skylight)
    air = (1 - np.exp(-mood.haze * at.z * np.exp(-at.y * 0.5)))[:, None]
    return np.asarray(colour + (scene.haze - colour) * air, np.float32)


def _albedo(mood: Mood, y: Field, steep: Field, tone: Field, fine: Field, bump: Field) -> Field:
    """Forest below, rock above, snow on top; neither on walls, (points, 3)."""
    snow_edge = y + 0.22 * tone + 0.12 * fine - mood.snow_line - 0.4 * np.clip(steep - 1.5, 0, 2)
    snow = np.clip(snow_edge * 6 + 1.5 * bump, 0, 1)[:, None]
    tree_edge = TREE_LINE - y + 0.16 * tone - 0.35 * np.clip(steep - 1.6, 0, 2)
    wood = np.clip(tree_edge * 6, 0, 1)[:, None]
    rock = np.clip(1 + 0.23 * tone + 0.13 * fine, 0.2, 2.6)[:, None] * ROCK
    leaf = np.clip(1 + 0.35 * tone + 0.35 * fine, 0.3, 2)[:, None] * mood.forest
    bare = rock + (leaf - rock) * wood
    return np.asarray(bare + (SNOW - bare) * snow, np.float32)


def _sky(scene: Scene) -> Field:
    """The light of the sky, (height, width, 3); below the horizon it is only filled up."""
    camera, mood = scene.camera, scene.mood
    rows = min(camera.height, int(camera.horizon) + 2)
    y, x = np.mgrid[0:rows, 0 : camera.width].astype(np.float32)
    rise = np.clip((camera.horizon - y) / camera.focal, 0.002, None)
    clear = mood.zenith + (mood.horizon - mood.zenith) * np.exp(-rise[:, :1] * 4.5)[:, :, None]
    sun_y = camera.horizon - camera.focal * mood.elevation * 0.7
    away = np.hypot(x - camera.width * (0.5 + 0.5 * scene.sun_x), y - sun_y) / camera.focal
    glow = (np.exp(-away * 5) * 0.35 + np.exp(-away * 40) * 2) * (1 - mood.cover * 0.6)
    sky = clear + glow[:, :, None] * mood.sun
    cloud, shade = _clouds(scene, x, rise)
    bright = (mood.sun * np.float32(0.45) + mood.horizon * np.float32(0.6)) * shade[:, :, None]
    view = np.empty((camera.height, camera.width, 3), np.float32)
    view[:rows] = sky + (bright - sky) * cloud[:, :, None]
    view[rows:] = view[rows - 1]
    return view


def _clouds(scene: Scene, x: Field, rise: Field) -> tuple[Field, Field]:
    """How dense and how bright a plane of clouds is where pixels look at it."""
    camera, cover, o = scene.camera, scene.mood.cover, scene.offsets
    distance = 1 / (rise + 0.12)
    u, v = (x - camera.width / 2) / camera.focal * distance * 50 + o[8], distance * 55 + o[9]
    wisps = noise.look_up(noise.cloudy(), u, v) + 0.3 * noise.look_up(noise.rough(), u * 2.2, v * 2.2)
    density = np.clip((wisps + 3.2 * cover - 1.6) * 0.9, 0, 0.95) * np.clip(rise * 9, 0, 1)
    shade = np.clip(1.15 - 0.3 * np.clip(wisps + 3 * cover - 1.2, 0, 3), 0.3, 1.2)
    return np.asarray(density, np.float32), np.asarray(shade, np.float32)


def _water(scene: Scene, view: Field, row: Field, column: Field) -> Field:
    """What the lake shows at pixels: the view mirrored at the horizon, broken by ripples, (pixels, 3)."""
    camera, o, rng = scene.camera, scene.offsets, scene.rng
    below = np.clip(row - camera.horizon, 0.7, None)
    far = camera.height / below
    ripple = noise.look_up(noise.rough(), (column - camera.width / 2) * far * 0.3 + o[10], far * 55 + o[11])
    wind = (0.1, 0.4, 1.0, 2.2)[rng.integers(4)]
    up = camera.horizon - below * rng.uniform(0.9, 1.0) - np.abs(ripple) * wind * (3 + below * 0.09)
    side = np.clip(column + ripple * wind * 1.5, 0, camera.width - 1)
    mirrored = view[np.abs(up).astype(np.intp), side.astype(np.intp)]
    share = 0.92 - 0.62 * np.clip(below / camera.height * 1.3, 0, 1)[:, None]
    return np.asarray(mirrored * share * 0.9 + scene.mood.zenith * TURQUOISE * (1 - share), np.float32)
