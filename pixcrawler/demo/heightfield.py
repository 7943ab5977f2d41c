"""Looks across a landscape of heights as a camera does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pixcrawler.demo.noise import Field


@dataclass(frozen=True, slots=True)
class Camera:
    """A level camera: the picture's size, the horizon's row, the focal length in pixels, the eye's height."""

    width: int
    height: int
    horizon: float
    focal: float
    eye: float

    def plan(self, depths: Field) -> tuple[Field, Field]:
        """Where the lines of sight are at each depth, seen from above: x and z, each (depths, width)."""
        sideways = (np.arange(self.width, dtype=np.float32) - self.width / 2) / np.float32(self.focal)
        return depths[:, None] * sideways[None, :], np.repeat(depths[:, None], self.width, axis=1)

    def first_hit(self, heights: Field, depths: Field) -> tuple[npt.NDArray[np.intp], Field]:
        """What each pixel shows, (height, width): an index into `depths`, `len(depths)` for the sky, and
        how far from the depth before it (0) to that one (1) its ray ends."""
        rows = self.horizon - self.focal * (heights - self.eye) / depths[:, None]
        visible = np.minimum.accumulate(rows, axis=0)
        columns = np.arange(self.width)
        edges = np.clip(np.ceil(visible), 0, self.height).astype(np.intp)
        per_row = np.bincount((edges * self.width + columns).ravel(), minlength=(self.height + 1) * self.width)
        passed = per_row.reshape(self.height + 1, self.width)[: self.height].cumsum(axis=0)
        index = len(depths) - passed
        reached = np.minimum(index, len(depths) - 1)
        below, above = visible[np.maximum(reached - 1, 0), columns], visible[reached, columns]
        row = np.arange(self.height, dtype=np.float32)[:, None]
        return index, np.clip((below - row) / np.maximum(below - above, 1e-3), 0, 1)

    def seen(self, row: npt.NDArray[np.intp], column: npt.NDArray[np.intp], depth: Field) -> tuple[Field, Field]:
        """Where the rays of pixels are when they have come as far as `depth`: x and height."""
        focal = np.float32(self.focal)
        x = (column - self.width / 2).astype(np.float32) / focal * depth
        return x, self.eye + (self.horizon - row.astype(np.float32)) / focal * depth
