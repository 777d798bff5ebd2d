"""From a decoded picture to a raster of a stated size, and a report that is measured on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kerf_core.errors import InvalidArgument
from kerf_media import Picture
from kerf_optimizer.domain.geometry import Raster
from kerf_optimizer.domain.physical import PhysicalSize, PixelGrid, RasterLimits, grid_for
from kerf_optimizer.domain.raster.modes import (
    floyd_steinberg,
    halftone,
    line_art,
    otsu_threshold,
    silhouette,
    threshold,
)

_PIXELS_PER_HALFTONE_CELL = 6.0
_DEFAULT_ANGLE_DEG = 45.0
_DEFAULT_LINE_WIDTH_MM = 0.4
_LINE_PER_ENLARGED_PIXEL = 1.8
"""Lines narrower than this many of the picture's own pixels find nothing on edges that enlarging made soft."""
_WIDER_WARNED = 1.05
_MIN_CELL_PX = 2.0
_COARSE_CELL_PX = 4.0
_UPSCALE_WARNED = 4.0
_BLACK_OR_WHITE_SHARE = 0.9
_NEAR_BLACK, _NEAR_WHITE = 24, 231


class RasterMode(Enum):
    """How grey becomes burnt and not burnt."""

    THRESHOLD = "threshold"
    FLOYD_STEINBERG = "floyd-steinberg"
    HALFTONE = "halftone"
    LINE_ART = "line-art"
    SILHOUETTE = "silhouette"


@dataclass(frozen=True)
class RasterSettings:
    """What to make.

    `threshold` 1–255 for THRESHOLD, None = Otsu's. `halftone_lpi` 0 = dpi / 6; `halftone_angle_deg` None = 45.
    `line_width_mm` 0 = 0.4, for LINE_ART. `invert` burns exactly what would not burn without it.
    """

    mode: RasterMode = RasterMode.THRESHOLD
    size: PhysicalSize = field(default_factory=PhysicalSize)
    threshold: int | None = None
    halftone_lpi: float = 0.0
    halftone_angle_deg: float | None = None
    line_width_mm: float = 0.0
    invert: bool = False


@dataclass(frozen=True)
class RasterReport:
    """What a raster is, measured on it. `threshold` is 0 where no level was used."""

    mode: RasterMode
    width_px: int
    height_px: int
    width_mm: float
    height_mm: float
    dpi: float
    burnt_share: float
    threshold: int
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Scaled:
    """A picture on the raster's grid: uint8 (rows, columns) each."""

    gray: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None
    grid: PixelGrid
    upscale: float
    """How many times the picture was enlarged; 1 or less = not at all."""


def prepare_raster(
    picture: Picture,
    settings: RasterSettings,
    limits: RasterLimits | None = None,
    cancel: Callable[[], None] = lambda: None,
) -> tuple[Raster, RasterReport]:
    """Bring the picture to size, then make it black and white.

    Resampling (Lanczos, Pillow's integer arithmetic) comes before dithering and is left out where the picture has the
    target's pixels already: a black and white picture passes through THRESHOLD, FLOYD_STEINBERG and HALFTONE unchanged.
    `cancel` is called between steps and may raise. Raises InvalidArgument for sizes and settings out of range.
    """
    limits = limits or RasterLimits()
    grid = grid_for((picture.width_px, picture.height_px), settings.size, limits, _pixel_aspect(picture))
    _check(settings, grid)
    cancel()
    scaled = _scale(picture, grid)
    cancel()
    burn, level = _burn(scaled, settings)
    raster = Raster(~burn if settings.invert else burn, grid.pitch_mm)
    cancel()
    warnings = (*picture.notes, *_warnings(scaled, raster, settings, limits))
    return raster, RasterReport(
        mode=settings.mode,
        width_px=raster.width_px,
        height_px=raster.height_px,
        width_mm=raster.width_mm,
        height_mm=raster.height_mm,
        dpi=raster.dpi,
        burnt_share=raster.burnt_share,
        threshold=level,
        warnings=warnings,
    )


def _pixel_aspect(picture: Picture) -> float:
    if picture.pixels_per_metre is None:
        return 1.0
    return picture.pixels_per_metre[1] / picture.pixels_per_metre[0]


def _check(settings: RasterSettings, grid: PixelGrid) -> None:
    if settings.threshold is not None and not 1 <= settings.threshold <= 255:
        raise InvalidArgument.of_field("threshold", f"{settings.threshold} is outside 1–255.")
    if settings.mode is RasterMode.HALFTONE and _cell_px(settings, grid) < _MIN_CELL_PX:
        raise InvalidArgument.of_field(
            "halftone_lpi",
            f"{settings.halftone_lpi:g} lines per inch leave a dot less than {_MIN_CELL_PX:g} px. "
            f"Ask for at most {25.4 / grid.pitch_mm / _MIN_CELL_PX:.0f}, or for more dots per inch.",
        )


def _cell_px(settings: RasterSettings, grid: PixelGrid) -> float:
    if not settings.halftone_lpi:
        return _PIXELS_PER_HALFTONE_CELL
    return 25.4 / grid.pitch_mm / settings.halftone_lpi


def _line_width_px(settings: RasterSettings, scaled: _Scaled) -> float:
    """What was asked for, but no less than a pixel, and than the finest edge that an enlarged picture has."""
    wanted_mm = settings.line_width_mm or _DEFAULT_LINE_WIDTH_MM
    return max(1.0, wanted_mm / scaled.grid.pitch_mm, _LINE_PER_ENLARGED_PIXEL * scaled.upscale)


def _scale(picture: Picture, grid: PixelGrid) -> _Scaled:
    gray, alpha = picture.gray(), picture.alpha
    size_px = (grid.width_px, grid.height_px)
    if (picture.width_px, picture.height_px) != size_px:
        gray = _resample(gray, size_px)
        alpha = None if alpha is None else _resample(alpha, size_px)
    upscale = max(grid.width_px / picture.width_px, grid.height_px / picture.height_px)
    return _Scaled(gray, alpha, grid, upscale)


def _resample(channel: NDArray[np.uint8], size_px: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(channel).resize(size_px, Image.Resampling.LANCZOS))


def _burn(scaled: _Scaled, settings: RasterSettings) -> tuple[NDArray[np.bool_], int]:
    match settings.mode:
        case RasterMode.THRESHOLD:
            level = settings.threshold or otsu_threshold(scaled.gray)
            return threshold(scaled.gray, level), level
        case RasterMode.FLOYD_STEINBERG:
            return floyd_steinberg(scaled.gray), 0
        case RasterMode.HALFTONE:
            angle_deg = _DEFAULT_ANGLE_DEG if settings.halftone_angle_deg is None else settings.halftone_angle_deg
            return halftone(scaled.gray, _cell_px(settings, scaled.grid), angle_deg), 0
        case RasterMode.LINE_ART:
            return line_art(scaled.gray, _line_width_px(settings, scaled)), 0
        case RasterMode.SILHOUETTE:
            return silhouette(scaled.gray, scaled.alpha)


def _warnings(scaled: _Scaled, raster: Raster, settings: RasterSettings, limits: RasterLimits) -> list[str]:
    warnings = []
    if not raster.burn.any():
        warnings.append("Nothing burns: no pixel is dark enough.")
    elif raster.burn.all():
        warnings.append("Everything burns: no pixel is light enough.")
    if bool((scaled.gray == scaled.gray[0, 0]).all()):
        warnings.append("The picture has one tone only.")
    if scaled.upscale > _UPSCALE_WARNED:
        warnings.append(
            f"The picture was enlarged {scaled.upscale:.1f} times and will look soft: send a larger one, or burn it "
            "smaller."
        )
    if raster.pitch_mm < limits.typical_spot_mm:
        warnings.append(
            f"Lines of {raster.pitch_mm:.3g} mm are closer than a typical spot of {limits.typical_spot_mm:g} mm: "
            "dots overlap and dark tones fill up."
        )
    if settings.mode is RasterMode.HALFTONE and _cell_px(settings, scaled.grid) < _COARSE_CELL_PX:
        warnings.append(
            f"Halftone dots of {_cell_px(settings, scaled.grid):.2g} px give few tones: ask for fewer lines per inch "
            "or more dots per inch."
        )
    if settings.mode is RasterMode.LINE_ART:
        warnings.extend(_line_art_warnings(scaled, settings))
    return warnings


def _line_art_warnings(scaled: _Scaled, settings: RasterSettings) -> list[str]:
    warnings = []
    wanted_mm = settings.line_width_mm or _DEFAULT_LINE_WIDTH_MM
    width_mm = _line_width_px(settings, scaled) * scaled.grid.pitch_mm
    if width_mm > wanted_mm * _WIDER_WARNED:
        warnings.append(
            f"Lines are about {width_mm:.2g} mm wide instead of {wanted_mm:g} mm: the picture has no finer detail at "
            "this size."
        )
    gray = scaled.gray
    clear = np.count_nonzero((gray <= _NEAR_BLACK) | (gray >= _NEAR_WHITE)) / gray.size
    if clear > _BLACK_OR_WHITE_SHARE:
        warnings.append(
            "The picture is black and white already: line art outlines its strokes, THRESHOLD keeps them as they are."
        )
    return warnings
