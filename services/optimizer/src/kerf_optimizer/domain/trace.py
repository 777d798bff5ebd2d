"""Pictures to closed paths in millimetres: sub-pixel isolines, simplified within a tolerance."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage.measure import find_contours

from kerf_core.errors import InvalidArgument
from kerf_media import Picture
from kerf_optimizer.domain.geometry import Drawing, Path
from kerf_optimizer.domain.physical import PhysicalSize, fit_mm
from kerf_optimizer.domain.raster.modes import fill_holes
from kerf_optimizer.domain.raster.thresholds import otsu_threshold
from kerf_optimizer.domain.svg import RESOLUTION_MM

_DEFAULT_DESPECKLE_MM2 = 0.05
_DEFAULT_TOLERANCE_MM = 0.05
_SMOOTHING_PX = 0.6
"""Takes the stairs off a 1-bit edge and keeps lines of one pixel: their middle stays at 0.6 of full darkness."""
_PAD_PX = 2
_WHITE = 255
_FEWEST_POINTS = 3
_ROUNDING_MM = RESOLUTION_MM


class TraceMode(Enum):
    """What the paths follow."""

    OUTLINE = "outline"
    SILHOUETTE = "silhouette"


@dataclass(frozen=True)
class TraceSettings:
    """What to trace.

    `size` as in `PhysicalSize`, dpi unused; without width and height the size that the file states. `despeckle_mm2`
    None = 0.05. `tolerance_mm` 0 = 0.05.
    """

    mode: TraceMode = TraceMode.OUTLINE
    size: PhysicalSize = field(default_factory=PhysicalSize)
    despeckle_mm2: float | None = None
    tolerance_mm: float = 0.0


@dataclass(frozen=True)
class TraceLimits:
    """What a tracing may cost; beyond, InvalidArgument (TRACE_TOO_DETAILED)."""

    max_pixels: int = 16_000_000
    """Larger pictures are reduced to it first, with a warning."""
    max_crossings: int = 3_000_000
    """Borders between dark and light pixels: what the isolines' points number, before simplification."""
    max_nodes: int = 200_000
    max_paths: int = 20_000


@dataclass(frozen=True)
class TraceReport:
    """What a drawing is. `nodes` and `length_mm` are of all paths together."""

    width_mm: float
    height_mm: float
    paths: int
    nodes: int
    length_mm: float
    warnings: tuple[str, ...]


def trace(
    picture: Picture,
    settings: TraceSettings,
    limits: TraceLimits | None = None,
    cancel: Callable[[], None] = lambda: None,
) -> tuple[Drawing, TraceReport]:
    """Trace the borders between dark and light at Otsu's level (1979).

    Isolines by marching squares on the slightly smoothed grey (Lorensen and Cline 1987, as scikit-image has it), then
    Douglas and Peucker (1973) so that no ring crosses itself or another. All paths are closed and inside the sheet,
    the picture's edge counts as light, outer borders run clockwise on the screen (`area_mm2` > 0) and inner ones the
    other way; coordinates are multiples of 0.001 mm. `cancel` is called between steps and may raise.

    Raises InvalidArgument: SIZE_UNKNOWN (neither the request nor the file names a size), TRACE_TOO_DETAILED.
    """
    limits = limits or TraceLimits()
    width_mm, height_mm = _sheet_mm(picture, settings.size)
    warnings = list(picture.notes)
    gray = _within(picture.gray(), limits.max_pixels, warnings)
    cancel()
    field_, level = _smoothed(gray, settings.mode, limits)
    cancel()
    scale = (width_mm / gray.shape[1], height_mm / gray.shape[0])
    rings = _rings_mm(field_, level, scale, (width_mm, height_mm))
    cancel()
    rings = _without_specks(rings, settings.despeckle_mm2)
    _check_count("paths", len(rings), limits.max_paths)
    paths = _paths(_simplified(rings, settings.tolerance_mm or _DEFAULT_TOLERANCE_MM), settings.mode)
    _check_count("nodes", sum(len(path.points_mm) for path in paths), limits.max_nodes)
    cancel()
    drawing = Drawing(width_mm, height_mm, paths)
    if not paths:
        warnings.append("Nothing was traced: the picture has no border between dark and light that is large enough.")
    return drawing, report_on(drawing, tuple(warnings))


def report_on(drawing: Drawing, warnings: tuple[str, ...] = ()) -> TraceReport:
    """Measure a drawing."""
    return TraceReport(
        drawing.width_mm, drawing.height_mm, len(drawing.paths), drawing.nodes, drawing.length_mm, warnings
    )


def _sheet_mm(picture: Picture, size: PhysicalSize) -> tuple[float, float]:
    own_mm = picture.size_mm
    width, height = own_mm or (picture.width_px, picture.height_px)
    wanted_mm = fit_mm(width, height, size) or own_mm
    if wanted_mm is None:
        raise InvalidArgument.of_field(
            "size", "the picture does not say how large it is; give width_mm or height_mm.", "SIZE_UNKNOWN"
        )
    # Whole micrometres, so that the SVG states the sheet exactly.
    width_mm, height_mm = (round(side_mm, 3) for side_mm in wanted_mm)
    if min(width_mm, height_mm) <= 0:
        raise InvalidArgument.of_field(
            "size", f"{wanted_mm[0]:g} × {wanted_mm[1]:g} mm is nothing to draw on.", "SIZE_TOO_SMALL"
        )
    return width_mm, height_mm


def _within(gray: NDArray[np.uint8], max_pixels: int, warnings: list[str]) -> NDArray[np.uint8]:
    if gray.size <= max_pixels:
        return gray
    shrink = math.sqrt(max_pixels / gray.size)
    size_px = (max(1, int(gray.shape[1] * shrink)), max(1, int(gray.shape[0] * shrink)))
    warnings.append(f"The picture was reduced to {size_px[0]} × {size_px[1]} px before tracing.")
    return np.asarray(Image.fromarray(gray).resize(size_px, Image.Resampling.LANCZOS))


def _smoothed(gray: NDArray[np.uint8], mode: TraceMode, limits: TraceLimits) -> tuple[NDArray[np.float32], float]:
    """The grey to follow, padded with light, and the level to follow it at."""
    level = otsu_threshold(gray)
    padded = np.pad(gray, _PAD_PX, constant_values=_WHITE)
    dark = padded < level
    if mode is TraceMode.SILHOUETTE:
        filled = fill_holes(dark)
        padded[filled & ~dark] = 0
        dark = filled
    crossings = np.count_nonzero(dark[1:] != dark[:-1]) + np.count_nonzero(dark[:, 1:] != dark[:, :-1])
    if crossings > limits.max_crossings:
        raise _too_detailed(f"{crossings:,} borders between dark and light pixels; at most {limits.max_crossings:,}")
    smooth = ndimage.gaussian_filter(padded, _SMOOTHING_PX, output=np.float32, mode="nearest")
    return smooth, level - 0.5


def _rings_mm(
    smooth: NDArray[np.float32], level: float, scale: tuple[float, float], sheet_mm: tuple[float, float]
) -> list[NDArray[np.float64]]:
    """Rings without repetition of the first point, on the micrometre grid, clipped to the sheet."""
    rings = []
    for line in _isolines(smooth, level):
        # From (row, column) of pixel centres to x, y of the sheet.
        points: NDArray[np.float64] = (line[:-1, ::-1] + (0.5 - _PAD_PX)) * scale
        points = np.clip(points, 0.0, sheet_mm).round(3)
        points = points[(points != np.roll(points, 1, axis=0)).any(axis=1)]
        if len(points) >= _FEWEST_POINTS:
            rings.append(points)
    return rings


def _isolines(smooth: NDArray[np.float32], level: float) -> list[NDArray[np.float64]]:
    # Dark (low) areas join by corners, as in `fill_holes`; "high" makes outer borders run clockwise on the screen.
    lines: list[NDArray[np.float64]] = find_contours(smooth, level, fully_connected="low", positive_orientation="high")
    return lines


def _without_specks(rings: list[NDArray[np.float64]], despeckle_mm2: float | None) -> list[NDArray[np.float64]]:
    smallest_mm2 = _DEFAULT_DESPECKLE_MM2 if despeckle_mm2 is None else despeckle_mm2
    return [ring for ring in rings if abs(_area_mm2(ring)) >= max(smallest_mm2, _ROUNDING_MM**2)]


def _simplified(rings: list[NDArray[np.float64]], tolerance_mm: float) -> list[NDArray[np.float64]]:
    if not rings:
        return []
    # As one geometry: the simplifier then keeps rings from crossing each other too. The micrometre that rounding and
    # clipping may move a point belongs to the tolerance.
    lines = [shapely.LineString(np.vstack([ring, ring[:1]])) for ring in rings]
    within_mm = max(tolerance_mm - _ROUNDING_MM, _ROUNDING_MM)
    simple = shapely.simplify(shapely.MultiLineString(lines), within_mm, preserve_topology=True)
    return [shapely.get_coordinates(line)[:-1] for line in shapely.get_parts(simple)]


def _paths(rings: list[NDArray[np.float64]], mode: TraceMode) -> tuple[Path, ...]:
    paths = [Path(ring, closed=True) for ring in rings if len(ring) >= _FEWEST_POINTS and _area_mm2(ring) != 0]
    if mode is TraceMode.SILHOUETTE:
        paths = [path for path in paths if path.area_mm2 > 0]
    return tuple(paths)


def _area_mm2(ring: NDArray[np.float64]) -> float:
    return Path(ring, closed=True).area_mm2


def _check_count(what: str, count: int, most: int) -> None:
    if count > most:
        raise _too_detailed(f"{count:,} {what}; at most {most:,}")


def _too_detailed(what: str) -> InvalidArgument:
    return InvalidArgument(
        "TRACE_TOO_DETAILED",
        f"The picture has {what}. Dithered pictures and photographs do not trace well: use THRESHOLD, LINE_ART or "
        "SILHOUETTE first, or a larger despeckle_mm2 or tolerance_mm.",
    )
