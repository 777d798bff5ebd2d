"""What the optimizer works on: paths, drawings and 1-bit pictures in millimetres.

Coordinates are those of SVG: the origin is the top left corner, x grows to the right and y DOWN. The planner turns them
into machine coordinates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kerf_core.errors import InvalidArgument

MM_PER_INCH = 25.4
BOX_TOLERANCE_MM = 1e-6
"""How far outside the drawing's box a point may lie, for rounding only."""


class Bounds(NamedTuple):
    """A box in millimetres."""

    min_x_mm: float
    min_y_mm: float
    max_x_mm: float
    max_y_mm: float


@dataclass(frozen=True, eq=False)
class Path:
    """A polyline.

    `points_mm` is float64 of shape (n, 2) with n ≥ 2, finite, read-only (a copy is taken). A closed path runs from its
    last point back to its first; the first point is not repeated. `layer` names the layer it belongs to ("" = none).
    Raises InvalidArgument (BAD_GEOMETRY) for another shape and for numbers that are not finite.
    """

    points_mm: NDArray[np.float64]
    closed: bool
    layer: str = ""

    def __post_init__(self) -> None:
        points = np.array(self.points_mm, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < 2:
            raise InvalidArgument("BAD_GEOMETRY", f"A path needs at least 2 points of x and y, not {points.shape}.")
        if not np.isfinite(points).all():
            raise InvalidArgument("BAD_GEOMETRY", "A path has a coordinate that is not a finite number.")
        points.setflags(write=False)
        object.__setattr__(self, "points_mm", points)

    @cached_property
    def segments_mm(self) -> NDArray[np.float64]:
        """Vectors from each point to the next, float64 (n, 2) if closed, (n − 1, 2) if open."""
        if self.closed:
            return np.roll(self.points_mm, -1, axis=0) - self.points_mm
        return np.diff(self.points_mm, axis=0)

    @cached_property
    def length_mm(self) -> float:
        """Length, the closing segment included."""
        return float(np.hypot(self.segments_mm[:, 0], self.segments_mm[:, 1]).sum())

    @cached_property
    def area_mm2(self) -> float:
        """Signed area by the shoelace formula, 0 for an open path.

        Positive = clockwise as seen on the screen (y grows downwards), the orientation of outer borders in kerf.
        """
        if not self.closed:
            return 0.0
        # Relative to the first point, so that a small path far from the origin keeps its digits.
        x, y = (self.points_mm - self.points_mm[0]).T
        return float(0.5 * np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))

    @cached_property
    def bounds(self) -> Bounds:
        """The smallest box around the points."""
        low, high = self.points_mm.min(axis=0), self.points_mm.max(axis=0)
        return Bounds(float(low[0]), float(low[1]), float(high[0]), float(high[1]))

    def reversed(self) -> Path:
        """The same path run backwards."""
        return Path(self.points_mm[::-1], self.closed, self.layer)


@dataclass(frozen=True, eq=False)
class Drawing:
    """Paths on a sheet of `width_mm` × `height_mm`.

    Raises InvalidArgument (BAD_GEOMETRY) where the sheet has no size or a point lies outside it by more than
    `BOX_TOLERANCE_MM`.
    """

    width_mm: float
    height_mm: float
    paths: tuple[Path, ...]

    def __post_init__(self) -> None:
        size_mm = np.array([self.width_mm, self.height_mm])
        if not np.isfinite(size_mm).all() or (size_mm <= 0).any():
            raise InvalidArgument("BAD_GEOMETRY", f"A drawing of {self.width_mm} × {self.height_mm} mm has no size.")
        object.__setattr__(self, "paths", tuple(self.paths))
        for index, path in enumerate(self.paths):
            box = path.bounds
            if (
                min(box.min_x_mm, box.min_y_mm) < -BOX_TOLERANCE_MM
                or box.max_x_mm > self.width_mm + BOX_TOLERANCE_MM
                or box.max_y_mm > self.height_mm + BOX_TOLERANCE_MM
            ):
                raise InvalidArgument(
                    "BAD_GEOMETRY",
                    f"Path {index} spans {_box_text(box)} and leaves the sheet of "
                    f"{self.width_mm:g} × {self.height_mm:g} mm.",
                )

    @property
    def nodes(self) -> int:
        """Number of points in all paths."""
        return sum(len(path.points_mm) for path in self.paths)

    @property
    def length_mm(self) -> float:
        """Length of all paths."""
        return float(sum(path.length_mm for path in self.paths))

    @property
    def bounds(self) -> Bounds | None:
        """The smallest box around all points; None where there are no paths."""
        if not self.paths:
            return None
        boxes = np.array([path.bounds for path in self.paths])
        low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
        return Bounds(float(low[0]), float(low[1]), float(high[0]), float(high[1]))

    def layers(self) -> tuple[str, ...]:
        """Names of the layers in the order in which they first appear."""
        return tuple(dict.fromkeys(path.layer for path in self.paths))


@dataclass(frozen=True, eq=False)
class Raster:
    """A picture of burnt and unburnt pixels.

    `burn` is bool of shape (rows, columns), row 0 at the top, True = burn, read-only (a copy is taken). Pixels are
    squares of `pitch_mm`. `power` is uint8 of the same shape, what each pixel gets of what is burnt with, 255 = all of
    it, over 0 where `burn` is True; None = all burn alike. Raises InvalidArgument (BAD_RASTER) where there are no
    pixels, the pitch is not positive, or power and burn contradict each other.
    """

    burn: NDArray[np.bool_]
    pitch_mm: float
    power: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        burn = np.array(self.burn, dtype=np.bool_)
        if burn.ndim != 2 or burn.size == 0:
            raise InvalidArgument("BAD_RASTER", f"A raster needs rows and columns of pixels, not shape {burn.shape}.")
        if not np.isfinite(self.pitch_mm) or self.pitch_mm <= 0:
            raise InvalidArgument("BAD_RASTER", f"A raster needs a positive pitch, not {self.pitch_mm} mm.")
        burn.setflags(write=False)
        object.__setattr__(self, "burn", burn)
        if self.power is not None:
            power = np.array(self.power, dtype=np.uint8)
            if not np.array_equal(power > 0, burn):
                raise InvalidArgument("BAD_RASTER", "A raster must burn where its pixels have power, and only there.")
            power.setflags(write=False)
            object.__setattr__(self, "power", power)

    @property
    def width_px(self) -> int:
        """Columns."""
        return int(self.burn.shape[1])

    @property
    def height_px(self) -> int:
        """Rows."""
        return int(self.burn.shape[0])

    @property
    def width_mm(self) -> float:
        """Columns × pitch."""
        return self.width_px * self.pitch_mm

    @property
    def height_mm(self) -> float:
        """Rows × pitch."""
        return self.height_px * self.pitch_mm

    @property
    def dpi(self) -> float:
        """Pixels per inch."""
        return MM_PER_INCH / self.pitch_mm

    @property
    def burnt_share(self) -> float:
        """Share of pixels that burn, 0–1."""
        return float(self.burn.mean())


def path_of(points_mm: ArrayLike, *, closed: bool, layer: str = "") -> Path:
    """A path from anything that numpy can read as (n, 2) numbers, e.g. a list of pairs. Raises as `Path` does."""
    return Path(np.asarray(points_mm, dtype=np.float64), closed, layer)


def rotation(angle_deg: float) -> NDArray[np.float64]:
    """The matrix, float64 (2, 2), that turns columns from x towards y; quarters are exact."""
    quarters = angle_deg / 90
    if quarters == round(quarters):
        cosine, sine = ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[round(quarters) % 4]
    else:
        cosine, sine = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    return np.array([[cosine, -sine], [sine, cosine]])


def _box_text(box: Bounds) -> str:
    return f"x {box.min_x_mm:g}–{box.max_x_mm:g}, y {box.min_y_mm:g}–{box.max_y_mm:g} mm"
