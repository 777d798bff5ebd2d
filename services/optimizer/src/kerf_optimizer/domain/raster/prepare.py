"""From a decoded picture to rasters of a stated size, and a report that is measured on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from kerf_core.errors import InvalidArgument
from kerf_media import Picture
from kerf_optimizer.domain.burn_model import BurnModel, Spot, burn_preview, burnt_tone
from kerf_optimizer.domain.geometry import MM_PER_INCH, Raster
from kerf_optimizer.domain.physical import PixelGrid, RasterLimits, grid_for, own_grid
from kerf_optimizer.domain.raster.burning import (
    MIN_CELL_PX,
    Burnt,
    Scaled,
    burn_picture,
    cell_px,
    shortest_run_px,
)
from kerf_optimizer.domain.raster.detect import detect_mode
from kerf_optimizer.domain.raster.remarks import remarks
from kerf_optimizer.domain.raster.settings import (
    BurnReport,
    BurnSettings,
    RasterMode,
    RasterReport,
    RasterSettings,
)
from kerf_optimizer.domain.raster.tone import ToneAdjustments, adjust
from kerf_optimizer.domain.raster.types import Burn, Gray

_CELLED = (RasterMode.HALFTONE, RasterMode.NEWSPRINT)
_MANY_LAYERS = (RasterMode.POWER_MAP, RasterMode.RELIEF)
_MAX_LAYERS = 64


@dataclass(frozen=True)
class Prepared:
    """What came of a picture: rasters (one, or a relief's slices from the surface down), or `power` (uint8, 255 = all).

    `preview` is the simulated burn, uint8, 0 = as dark as full burn, where it was asked for.
    """

    rasters: tuple[Raster, ...]
    power: Gray | None
    preview: Gray | None
    grid: PixelGrid
    report: RasterReport


def prepare_raster(
    picture: Picture,
    settings: RasterSettings,
    limits: RasterLimits | None = None,
    cancel: Callable[[], None] = lambda: None,
) -> Prepared:
    """Bring the picture to size, adjust its tones, then make it burnable.

    Resampling (Lanczos, Pillow's integer arithmetic) comes before dithering and is left out where the picture has the
    target's pixels already: black and white then passes through all modes that keep tones unchanged. `cancel` is called
    between steps and may raise. Raises InvalidArgument for sizes and settings out of range.
    """
    limits = limits or RasterLimits()
    reasons: tuple[str, ...] = ()
    if settings.mode is RasterMode.AUTO:
        mode, reasons = detect_mode(picture.gray(), settings)
        settings = replace(settings, mode=mode)
    grid = _grid(picture, settings, limits)
    _check(settings, grid)
    model = _model(settings, grid, limits)
    cancel()
    scaled = _scale(picture, grid)
    cancel()
    gray, done = adjust(scaled.gray, scaled.alpha, settings.tone, grid.pitch_mm)
    scaled = replace(scaled, gray=gray)
    cancel()
    burnt = burn_picture(scaled, settings, model, cancel)
    if settings.invert:
        burnt = burnt.inverted()
    cancel()
    slices, burnt = list(burnt.slices), replace(burnt, slices=())
    rasters = _rasters(slices, grid.pitch_mm)
    burn = None if model is None else _burn_report(scaled, rasters, settings, model)
    preview = burn_preview(rasters[0].burn, model) if model is not None and settings.burn_preview else None
    cancel()
    warnings = (*picture.notes, *remarks(scaled, burnt, rasters, settings, limits, model))
    report = _report(scaled, burnt, rasters, settings, warnings)
    report = replace(report, reasons=reasons, adjustments=tuple(done), burn=burn)
    return Prepared(rasters, burnt.power, preview, grid, report)


def _rasters(slices: list[Burn], pitch_mm: float) -> tuple[Raster, ...]:
    """A raster of each slice, which is taken out of the list: it is a copy, and a relief's would be held twice."""
    return tuple(Raster(slices.pop(0), pitch_mm) for _ in range(len(slices)))


def _grid(picture: Picture, settings: RasterSettings, limits: RasterLimits) -> PixelGrid:
    picture_px, stated = (picture.width_px, picture.height_px), picture.pixels_per_metre
    if settings.mode is RasterMode.PASS_THROUGH:
        return own_grid(picture_px, settings.size, limits, stated)
    pixel_aspect = 1.0 if stated is None else stated[1] / stated[0]
    return grid_for(picture_px, settings.size, limits, pixel_aspect)


def _check(settings: RasterSettings, grid: PixelGrid) -> None:
    settings.tone.check()
    if settings.threshold is not None and not 1 <= settings.threshold <= 255:
        raise InvalidArgument.of_field("threshold", f"{settings.threshold} is outside 1–255.")
    if settings.mode is RasterMode.BAND_THRESHOLD and not 0 <= settings.threshold_low < (settings.threshold or 255):
        raise InvalidArgument.of_field("threshold_low", f"{settings.threshold_low} is not below the threshold.")
    if settings.ordered_size not in (2, 4, 8):
        raise InvalidArgument.of_field("ordered_size", f"{settings.ordered_size} is none of 2, 4 and 8.")
    if settings.mode is RasterMode.RELIEF and not 2 <= settings.relief_layers <= _MAX_LAYERS:
        raise InvalidArgument.of_field("relief_layers", f"{settings.relief_layers} is outside 2–{_MAX_LAYERS}.")
    _check_power(settings)
    if settings.mode is RasterMode.PASS_THROUGH and settings.tone != ToneAdjustments():
        raise InvalidArgument.of_field("tone", "PASS_THROUGH changes nothing: leave the tone tools out.")
    if settings.mode in _MANY_LAYERS and settings.burn_preview:
        raise InvalidArgument.of_field("burn_preview", "is there for modes that make one 1-bit picture.")
    if settings.mode in _CELLED and cell_px(settings, grid) < MIN_CELL_PX:
        raise InvalidArgument.of_field(
            "halftone_lpi",
            f"{settings.halftone_lpi:g} lines per inch leave a dot less than {MIN_CELL_PX:g} px. "
            f"Ask for at most {MM_PER_INCH / grid.pitch_mm / MIN_CELL_PX:.0f}, or for more dots per inch.",
        )


def _check_power(settings: RasterSettings) -> None:
    power = settings.power
    if not 0 <= power.min_percent <= power.max_percent <= 100:
        raise InvalidArgument.of_field(
            "power", f"{power.min_percent:g}–{power.max_percent:g} is no range of percent within 0–100."
        )
    if not 2 <= power.levels <= 256:
        raise InvalidArgument.of_field("power.levels", f"{power.levels} is outside 2–256.")


def _model(settings: RasterSettings, grid: PixelGrid, limits: RasterLimits) -> BurnModel | None:
    needed = settings.burn_preview or settings.mode is RasterMode.BURN_SIMULATED
    if settings.mode in _MANY_LAYERS or (settings.burn is None and not needed):
        return None
    burn = settings.burn or BurnSettings()
    x_mm = burn.spot_x_mm or limits.typical_spot_mm
    return BurnModel(Spot(x_mm, burn.spot_y_mm or x_mm), grid.pitch_mm, burn.saturation)


def _scale(picture: Picture, grid: PixelGrid) -> Scaled:
    gray, alpha = picture.gray(), picture.alpha
    size_px = (grid.width_px, grid.height_px)
    resampled = (picture.width_px, picture.height_px) != size_px
    if resampled:
        gray = _resample(gray, size_px)
        alpha = None if alpha is None else _resample(alpha, size_px)
    upscale = max(grid.width_px / picture.width_px, grid.height_px / picture.height_px)
    return Scaled(gray, alpha, grid, upscale, resampled)


def _resample(channel: Gray, size_px: tuple[int, int]) -> Gray:
    return np.asarray(Image.fromarray(channel).resize(size_px, Image.Resampling.LANCZOS))


def _burn_report(scaled: Scaled, rasters: tuple[Raster, ...], settings: RasterSettings, model: BurnModel) -> BurnReport:
    wanted = float(1 - scaled.gray.mean() / 255)
    return BurnReport(
        spot_x_px=model.spot_x_px,
        spot_y_px=model.spot_y_px,
        saturation=model.saturation,
        shortest_run_px=shortest_run_px(settings, model) if settings.mode is RasterMode.BURN_SIMULATED else 0,
        wanted_tone=1 - wanted if settings.invert else wanted,
        burnt_tone=burnt_tone(rasters[0].burn, model),
    )


def _report(
    scaled: Scaled, burnt: Burnt, rasters: tuple[Raster, ...], settings: RasterSettings, warnings: tuple[str, ...]
) -> RasterReport:
    shares = [raster.burnt_share for raster in rasters]
    mean_power = sum(shares) / len(shares) if burnt.power is None else float(burnt.power.mean()) / 255
    grid = scaled.grid
    return RasterReport(
        mode=settings.mode,
        width_px=grid.width_px,
        height_px=grid.height_px,
        width_mm=grid.width_px * grid.pitch_mm,
        height_mm=grid.height_px * grid.pitch_mm,
        dpi=MM_PER_INCH / grid.pitch_mm,
        burnt_share=shares[0] if burnt.power is None else float(np.count_nonzero(burnt.power)) / burnt.power.size,
        threshold=burnt.level,
        warnings=warnings,
        reasons=(),
        adjustments=(),
        resampled=scaled.resampled,
        layers=len(rasters),
        transparent_share=0.0
        if scaled.alpha is None
        else float(np.count_nonzero(scaled.alpha == 0)) / scaled.alpha.size,
        mean_power=mean_power,
        burn=None,
    )
