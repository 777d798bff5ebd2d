"""Pictures to 1-bit rasters of a stated size."""

from kerf_optimizer.domain.raster.modes import (
    floyd_steinberg,
    halftone,
    line_art,
    otsu_threshold,
    silhouette,
    threshold,
)
from kerf_optimizer.domain.raster.png import raster_from_picture, raster_to_png
from kerf_optimizer.domain.raster.prepare import RasterMode, RasterReport, RasterSettings, prepare_raster

__all__ = [
    "RasterMode",
    "RasterReport",
    "RasterSettings",
    "floyd_steinberg",
    "halftone",
    "line_art",
    "otsu_threshold",
    "prepare_raster",
    "raster_from_picture",
    "raster_to_png",
    "silhouette",
    "threshold",
]
