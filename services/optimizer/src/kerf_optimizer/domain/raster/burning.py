"""From a picture on its final grid to what burns, mode by mode."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.burn_model import BurnModel, burn_dither
from kerf_optimizer.domain.error_diffusion import diffuse
from kerf_optimizer.domain.physical import PixelGrid
from kerf_optimizer.domain.raster.modes import line_art, silhouette, sketch
from kerf_optimizer.domain.raster.ordered import blue_noise, halftone, ordered
from kerf_optimizer.domain.raster.settings import ERROR_FILTERS, PowerRange, RasterMode, RasterSettings
from kerf_optimizer.domain.raster.thresholds import adaptive_threshold, band_threshold, otsu_threshold, threshold
from kerf_optimizer.domain.raster.tone import ToneAdjustments, tone_levels
from kerf_optimizer.domain.raster.types import Burn, Gray

MIN_CELL_PX = 2.0
_MM_PER_INCH = 25.4
_PIXELS_PER_CELL = {RasterMode.HALFTONE: 6.0, RasterMode.NEWSPRINT: 10.0}
_DEFAULT_ANGLE_DEG = 45.0
_DEFAULT_LINE_WIDTH_MM = 0.4
_DEFAULT_WINDOW_MM = 3.0
_LINE_PER_ENLARGED_PIXEL = 1.8
"""Lines narrower than this many of the picture's own pixels find nothing on edges that enlarging made soft."""
_SKETCH_SIGMAS_PER_LINE = 2.0
_NEWSPRINT_CLIPPED = 0.01
"""Share of the pixels at either end that become black and white before newsprint's dots are made."""
_ROUND_UP_AT = 1e-6


@dataclass(frozen=True)
class Scaled:
    """A picture on the raster's grid: uint8 (rows, columns) each."""

    gray: Gray
    alpha: Gray | None
    grid: PixelGrid
    upscale: float
    """How many times the picture was enlarged; 1 or less = not at all."""
    resampled: bool


@dataclass(frozen=True)
class Burnt:
    """What a mode made: slices that burn, each within the one before, or powers (0–255). `level` 0 = none was used."""

    slices: tuple[Burn, ...]
    power: Gray | None = None
    level: int = 0

    def inverted(self) -> Burnt:
        """What did not burn. Slices change places, so that each is within the one before again."""
        return Burnt(tuple(~burn for burn in reversed(self.slices)), self.power, self.level)


def cell_px(settings: RasterSettings, grid: PixelGrid) -> float:
    """Side of a halftone cell in pixels."""
    if not settings.halftone_lpi:
        return _PIXELS_PER_CELL.get(settings.mode, MIN_CELL_PX)
    return _MM_PER_INCH / grid.pitch_mm / settings.halftone_lpi


def line_width_mm(settings: RasterSettings) -> float:
    """The line width that was asked for."""
    return settings.line_width_mm or _DEFAULT_LINE_WIDTH_MM


def line_width_px(settings: RasterSettings, scaled: Scaled) -> float:
    """What was asked for, but no less than a pixel, and than the finest edge that an enlarged picture has."""
    wanted_px = line_width_mm(settings) / scaled.grid.pitch_mm
    return max(1.0, wanted_px, _LINE_PER_ENLARGED_PIXEL * scaled.upscale)


def shortest_run_px(settings: RasterSettings, model: BurnModel) -> int:
    """Fewest pixels of a run for BURN_SIMULATED."""
    if settings.burn is None or settings.burn.shortest_run_mm is None:
        return model.run_px
    return max(1, math.ceil(settings.burn.shortest_run_mm / model.pitch_mm - _ROUND_UP_AT))


def burn_picture(
    scaled: Scaled, settings: RasterSettings, model: BurnModel | None, cancel: Callable[[], None]
) -> Burnt:
    """Do what the mode says (AUTO is decided before). `cancel` is called between long steps and may raise."""
    if settings.mode is RasterMode.SILHOUETTE:
        subject, level = silhouette(scaled.gray, scaled.alpha)
        return Burnt((subject,), level=level)
    if settings.mode is RasterMode.BURN_SIMULATED:
        assert model is not None
        burn = burn_dither(scaled.gray, model, shortest_run_px(settings, model), cancel)
        return _without_transparent(Burnt((burn,)), scaled.alpha)
    if settings.mode in ERROR_FILTERS:
        burn = diffuse(scaled.gray, ERROR_FILTERS[settings.mode], serpentine=settings.serpentine)
        return _without_transparent(Burnt((burn,)), scaled.alpha)
    return _without_transparent(_without_model(scaled, settings), scaled.alpha)


def _without_transparent(burnt: Burnt, alpha: Gray | None) -> Burnt:
    """What is wholly transparent never burns, whatever spills over from its neighbours or lies within a band."""
    if alpha is None:
        return burnt
    there = alpha > 0
    power = None if burnt.power is None else burnt.power * there
    return Burnt(tuple(burn & there for burn in burnt.slices), power, burnt.level)


def _without_model(scaled: Scaled, settings: RasterSettings) -> Burnt:
    gray = scaled.gray
    match settings.mode:
        case RasterMode.ORDERED:
            return Burnt((ordered(gray, settings.ordered_size),))
        case RasterMode.BLUE_NOISE:
            return Burnt((blue_noise(gray),))
        case RasterMode.HALFTONE | RasterMode.NEWSPRINT:
            return Burnt((_screened(scaled, settings),))
        case RasterMode.LINE_ART:
            return Burnt((line_art(gray, line_width_px(settings, scaled)),))
        case RasterMode.SKETCH:
            return Burnt((sketch(gray, _SKETCH_SIGMAS_PER_LINE * line_width_px(settings, scaled)),))
        case RasterMode.POWER_MAP:
            return Burnt((), power=power_map(255 - gray if settings.invert else gray, settings.power))
        case RasterMode.RELIEF:
            return Burnt(relief(gray, settings.relief_layers))
        case _:
            return _thresholded(scaled, settings)


def _screened(scaled: Scaled, settings: RasterSettings) -> Burn:
    angle_deg = settings.halftone_angle_deg
    angle_deg = _DEFAULT_ANGLE_DEG if angle_deg is None else angle_deg
    if settings.mode is RasterMode.NEWSPRINT:
        return halftone(_stretched(scaled.gray), cell_px(settings, scaled.grid), angle_deg)
    return halftone(scaled.gray, cell_px(settings, scaled.grid), angle_deg, settings.dot_shape)


def _thresholded(scaled: Scaled, settings: RasterSettings) -> Burnt:
    gray = scaled.gray
    match settings.mode:
        case RasterMode.ADAPTIVE_THRESHOLD:
            window_px = round((settings.adaptive_window_mm or _DEFAULT_WINDOW_MM) / scaled.grid.pitch_mm)
            return Burnt((adaptive_threshold(gray, window_px, settings.adaptive_offset),))
        case RasterMode.BAND_THRESHOLD:
            high = settings.threshold or 255
            return Burnt((band_threshold(gray, settings.threshold_low, high),), level=high)
        case RasterMode.PASS_THROUGH:
            if not bool(((gray == 0) | (gray == 255)).all()):
                raise InvalidArgument(
                    "NOT_BLACK_AND_WHITE",
                    "The picture has greys or colours: only black and white passes unchanged. Choose a mode that makes "
                    "dots.",
                )
            return Burnt((gray == 0,))
        case _:
            level = settings.threshold or otsu_threshold(gray)
            return Burnt((threshold(gray, level),), level=level)


def _stretched(gray: Gray) -> Gray:
    """The darkest and the lightest hundredth of the pixels become black and white."""
    share = np.cumsum(np.bincount(gray.ravel(), minlength=256)) / gray.size
    low = int(np.searchsorted(share, _NEWSPRINT_CLIPPED))
    high = int(np.searchsorted(share, 1 - _NEWSPRINT_CLIPPED))
    if high <= low:
        return gray
    return tone_levels(ToneAdjustments(black_level=low, white_level=high))[gray]


def power_map(gray: Gray, power: PowerRange) -> Gray:
    """Share of full power for each pixel, uint8, 255 = full; white is off, whatever the range."""
    darkness = 255 - np.arange(256)
    # Round to the nearest of the steps that are not off, so that all of them are used.
    step = np.floor(darkness * (power.levels - 1) / 255 + 0.5)
    shares = power.min_percent + (power.max_percent - power.min_percent) * step / (power.levels - 1)
    table: NDArray[np.float64] = np.where(step > 0, shares, 0.0)
    return np.floor(table * 2.55 + 0.5).astype(np.uint8)[gray]


def relief(gray: Gray, layers: int) -> tuple[Burn, ...]:
    """Slices of a relief from the surface down: a pixel is in as many of them as its darkness has steps."""
    depth = np.floor((255 - np.arange(256)) * layers / 255 + 0.5).astype(np.uint8)[gray]
    return tuple(depth > layer for layer in range(layers))
