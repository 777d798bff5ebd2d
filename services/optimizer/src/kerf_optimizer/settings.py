"""The settings of the optimizer; the only place that reads its environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from kerf_core.settings import ServiceSettings, service_config
from kerf_media import PictureLimits
from kerf_optimizer.domain.drawings import DrawingLimits
from kerf_optimizer.domain.lettering import FontLimits
from kerf_optimizer.domain.nesting import NestingLimits
from kerf_optimizer.domain.physical import RasterLimits
from kerf_optimizer.domain.planning import PlanLimits
from kerf_optimizer.domain.svg import SvgLimits
from kerf_optimizer.domain.trace import TraceLimits
from kerf_optimizer.domain.workbench import OptimizerLimits

_MAX_PICTURE_PIXELS = 89_478_485
_INLINE_BYTES = 3 * 1024 * 1024


class OptimizerSettings(ServiceSettings):
    """The optimizer makes pictures fit for a laser and writes machine files."""

    model_config = service_config("optimizer")

    picture_max_bytes: int = Field(32 << 20, ge=1, description="Largest picture file that is read.")
    picture_max_pixels: int = Field(
        40_000_000, ge=1, le=_MAX_PICTURE_PIXELS, description="Largest picture in pixels, in and out."
    )
    picture_max_side_px: int = Field(20_000, ge=1, le=65_535, description="Longest side of a picture, in and out.")
    typical_spot_mm: float = Field(0.08, gt=0, le=5, description="Finer rasters than this warn that dots overlap.")
    trace_max_pixels: int = Field(16_000_000, ge=1, description="Larger pictures are reduced to it before tracing.")
    trace_max_crossings: int = Field(3_000_000, ge=1, description="Borders between pixels that one tracing follows.")
    trace_max_nodes: int = Field(200_000, ge=3, description="Nodes of one traced drawing.")
    trace_max_paths: int = Field(20_000, ge=1, description="Paths of one traced drawing.")
    svg_max_bytes: int = Field(16 << 20, ge=1, description="Largest SVG that is read.")
    svg_max_elements: int = Field(50_000, ge=1, description="Elements of one SVG.")
    svg_max_nodes: int = Field(500_000, ge=2, description="Nodes of one SVG after its curves became polylines.")
    plan_max_moves: int = Field(3_000_000, ge=1, description="Straight moves of the head in one plan.")
    plan_max_contour_nodes: int = Field(
        100_000, ge=1, description="Nodes of a drawing that a contour goes around, and crossings of its lines."
    )
    plan_max_gcode_bytes: int = Field(64 << 20, ge=1, description="Largest G-code of one plan.")
    fonts_folder: Path | None = Field(None, description="Folder whose TTF and OTF files are fonts for text, by name.")
    font_max_bytes: int = Field(8 << 20, ge=1, description="Largest font that is read.")
    drawing_max_nodes: int = Field(200_000, ge=2, description="Nodes of all text and QR codes of one plan.")
    nesting_max_cells: int = Field(
        250_000, ge=100, le=4_000_000, description="Cells of a sheet that parts are nested on: more = closer, slower."
    )
    nesting_max_nodes: int = Field(100_000, ge=3, description="Nodes of all parts of one nesting.")
    nesting_max_work: int = Field(4_000_000_000, ge=1, description="Cells that one nesting may compare.")
    inline_max_bytes: int = Field(
        _INLINE_BYTES,
        ge=0,
        le=_INLINE_BYTES,
        description="Bytes that one answer carries itself; more become artifacts.",
    )

    def limits(self) -> OptimizerLimits:
        """The domain's form of the limits."""
        return OptimizerLimits(
            picture=PictureLimits(self.picture_max_bytes, self.picture_max_pixels, self.picture_max_side_px),
            # A raster must be readable by the next stage: the same limits hold for what is made.
            raster=RasterLimits(
                max_pixels=self.picture_max_pixels,
                max_side_px=self.picture_max_side_px,
                typical_spot_mm=self.typical_spot_mm,
            ),
            trace=TraceLimits(
                self.trace_max_pixels, self.trace_max_crossings, self.trace_max_nodes, self.trace_max_paths
            ),
            svg=SvgLimits(
                max_bytes=self.svg_max_bytes, max_elements=self.svg_max_elements, max_nodes=self.svg_max_nodes
            ),
            font=FontLimits(max_bytes=self.font_max_bytes),
            drawing=DrawingLimits(max_nodes=self.drawing_max_nodes),
            plan=PlanLimits(
                max_moves=self.plan_max_moves,
                max_gcode_bytes=self.plan_max_gcode_bytes,
                max_contour_nodes=self.plan_max_contour_nodes,
                nesting=NestingLimits(self.nesting_max_cells, self.nesting_max_work, self.nesting_max_nodes),
            ),
        )
