"""What the caller of a raster should know before burning it."""

from __future__ import annotations

from kerf_optimizer.domain.burn_model import BurnModel
from kerf_optimizer.domain.geometry import Raster
from kerf_optimizer.domain.physical import RasterLimits
from kerf_optimizer.domain.raster.burning import Burnt, Scaled, cell_px, line_width_mm, line_width_px
from kerf_optimizer.domain.raster.detect import clear_share
from kerf_optimizer.domain.raster.settings import RasterMode, RasterSettings

_WIDER_WARNED = 1.05
_COARSE_CELL_PX = 4.0
_UPSCALE_WARNED = 4.0
_BLACK_OR_WHITE_SHARE = 0.9


def remarks(
    scaled: Scaled,
    burnt: Burnt,
    rasters: tuple[Raster, ...],
    settings: RasterSettings,
    limits: RasterLimits,
    model: BurnModel | None,
) -> list[str]:
    """Warnings in whole sentences, measured on what was made."""
    found = _on_what_burns(burnt, rasters)
    if bool((scaled.gray == scaled.gray[0, 0]).all()):
        found.append("The picture has one tone only.")
    if scaled.upscale > _UPSCALE_WARNED:
        found.append(
            f"The picture was enlarged {scaled.upscale:.1f} times and will look soft: send a larger one, or burn it "
            "smaller."
        )
    pitch_mm = scaled.grid.pitch_mm
    if model is None and pitch_mm < limits.typical_spot_mm:
        found.append(
            f"Lines of {pitch_mm:.3g} mm are closer than a typical spot of {limits.typical_spot_mm:g} mm: "
            "dots overlap and dark tones fill up."
        )
    if (
        settings.mode in (RasterMode.HALFTONE, RasterMode.NEWSPRINT)
        and cell_px(settings, scaled.grid) < _COARSE_CELL_PX
    ):
        found.append(
            f"Halftone dots of {cell_px(settings, scaled.grid):.2g} px give few tones: ask for fewer lines per inch "
            "or more dots per inch."
        )
    if settings.mode is RasterMode.LINE_ART:
        found.extend(_on_line_art(scaled, settings))
    return found


def _on_what_burns(burnt: Burnt, rasters: tuple[Raster, ...]) -> list[str]:
    nothing = not burnt.power.any() if burnt.power is not None else not any(raster.burn.any() for raster in rasters)
    if nothing:
        return ["Nothing burns: no pixel is dark enough."]
    if rasters and all(raster.burn.all() for raster in rasters):
        return ["Everything burns: no pixel is light enough."]
    return []


def _on_line_art(scaled: Scaled, settings: RasterSettings) -> list[str]:
    found = []
    wanted_mm = line_width_mm(settings)
    width_mm = line_width_px(settings, scaled) * scaled.grid.pitch_mm
    if width_mm > wanted_mm * _WIDER_WARNED:
        found.append(
            f"Lines are about {width_mm:.2g} mm wide instead of {wanted_mm:g} mm: the picture has no finer detail at "
            "this size."
        )
    if clear_share(scaled.gray) > _BLACK_OR_WHITE_SHARE:
        found.append(
            "The picture is black and white already: line art outlines its strokes, THRESHOLD keeps them as they are."
        )
    return found
