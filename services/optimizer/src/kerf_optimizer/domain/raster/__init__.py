"""Pictures to rasters of a stated size that a laser can burn."""

from kerf_optimizer.domain.raster.ordered import DotShape
from kerf_optimizer.domain.raster.png import power_map_from_picture, raster_from_picture, raster_to_png
from kerf_optimizer.domain.raster.prepare import Prepared, prepare_raster
from kerf_optimizer.domain.raster.settings import (
    BurnReport,
    BurnSettings,
    PowerRange,
    RasterMode,
    RasterReport,
    RasterSettings,
)
from kerf_optimizer.domain.raster.tone import Background, ToneAdjustments, Unsharp

__all__ = [
    "Background",
    "BurnReport",
    "BurnSettings",
    "DotShape",
    "PowerRange",
    "Prepared",
    "RasterMode",
    "RasterReport",
    "RasterSettings",
    "ToneAdjustments",
    "Unsharp",
    "power_map_from_picture",
    "prepare_raster",
    "raster_from_picture",
    "raster_to_png",
]
