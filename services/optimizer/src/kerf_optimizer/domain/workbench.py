"""From bytes to bytes: what both doors of the service do, with the limits that its operator set.

Whatever leaves is read back first by the reader that takes files from strangers, and compared with what was meant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kerf_core.errors import Internal, InvalidArgument
from kerf_media import PictureLimits, decode_picture, encode_png_gray, sniff_media_type
from kerf_optimizer.domain.drawings import DrawingLimits, font_inputs
from kerf_optimizer.domain.geometry import Drawing, Raster
from kerf_optimizer.domain.lettering import FontLimits, FontShelf
from kerf_optimizer.domain.physical import PixelGrid, RasterLimits
from kerf_optimizer.domain.planning import PlanLimits, PlannedBurn, PlanSpec, plan_burn
from kerf_optimizer.domain.planning.composing import compose
from kerf_optimizer.domain.raster import (
    RasterReport,
    RasterSettings,
    power_map_from_picture,
    prepare_raster,
    raster_from_picture,
    raster_to_png,
)
from kerf_optimizer.domain.svg import SvgLimits, assert_same_drawing, read_svg, write_svg
from kerf_optimizer.domain.trace import TraceLimits, TraceReport, TraceSettings, report_on, trace

Cancel = Callable[[], None]
"""Called between steps, from the computing thread; raises to stop the work."""

_PITCH_TOLERANCE_MM = 1e-9


@dataclass(frozen=True)
class OptimizerLimits:
    """What this process accepts and produces."""

    picture: PictureLimits = field(default_factory=PictureLimits)
    raster: RasterLimits = field(default_factory=RasterLimits)
    trace: TraceLimits = field(default_factory=TraceLimits)
    svg: SvgLimits = field(default_factory=SvgLimits)
    plan: PlanLimits = field(default_factory=PlanLimits)
    font: FontLimits = field(default_factory=FontLimits)
    drawing: DrawingLimits = field(default_factory=DrawingLimits)


@dataclass(frozen=True)
class BurnablePicture:
    """A PNG to burn, its report, a relief's further slices, and a preview of the burn (None = not asked for)."""

    png: bytes
    report: RasterReport
    layers: tuple[bytes, ...] = ()
    preview: bytes | None = None


@dataclass(frozen=True)
class TracedDrawing:
    """An SVG, and what was measured on it when it was read back."""

    svg: bytes
    report: TraceReport


class Workbench:
    """The optimizer's work. Stateless and thread-safe; every method blocks and belongs into a worker thread.

    `fonts_folder` holds fonts for text besides kerf's own.
    """

    def __init__(self, limits: OptimizerLimits, fonts_folder: Path | None = None) -> None:
        self.limits = limits
        self.fonts = FontShelf(fonts_folder, limits.font)

    @property
    def max_source_bytes(self) -> int:
        """Bytes above which a source is refused whatever it is, so that it need not be fetched."""
        return max(self.limits.picture.max_bytes, self.limits.svg.max_bytes, self.limits.font.max_bytes)

    def optimize(self, data: bytes, settings: RasterSettings, cancel: Cancel) -> BurnablePicture:
        """Prepare a picture. Raises as `decode_picture` and `prepare_raster` do; Internal if a PNG differs."""
        picture = decode_picture(data, self.limits.picture)
        cancel()
        made = prepare_raster(picture, settings, self.limits.raster, cancel)
        pictures = []
        for raster in made.rasters:
            pictures.append(raster_to_png(raster))
            cancel()
            self._check_png(pictures[-1], raster)
        if made.power is not None:
            # As everywhere black burns: the grey of a power map is what is left to full power.
            pictures.append(self._gray_png(255 - made.power, made.grid))
        preview = None if made.preview is None else self._gray_png(made.preview, made.grid)
        return BurnablePicture(pictures[0], made.report, tuple(pictures[1:]), preview)

    def vectorize(self, data: bytes, settings: TraceSettings, cancel: Cancel) -> TracedDrawing:
        """Trace a picture. Raises as `decode_picture` and `trace` do, Internal if the SVG reads otherwise."""
        picture = decode_picture(data, self.limits.picture)
        cancel()
        drawing, report = trace(picture, settings, self.limits.trace, cancel)
        svg = write_svg(drawing)
        cancel()
        found = read_svg(svg, self.limits.svg)
        assert_same_drawing(drawing, found)
        return TracedDrawing(svg, report_on(found, report.warnings))

    def plan(self, sources: list[bytes], spec: PlanSpec, cancel: Cancel) -> PlannedBurn:
        """Plan a burn of PNGs from `optimize`, of SVGs and of drawings in the spec; fonts are what those are set in.

        Raises as `read_source`, `compose` and `plan_burn` do.
        """
        greys = {operation.input for operation in spec.operations if operation.grey is not None}
        letters = font_inputs(spec.drawings)
        fonts = {index: data for index, data in enumerate(sources) if index in letters}
        read = {}
        for index, data in enumerate(sources):
            if index not in fonts:
                read[index] = self.read_source(data, greys=index in greys)
            cancel()
        composed, burnt = compose(spec, read, fonts, self.fonts, self.limits.drawing, cancel)
        return plan_burn(composed, burnt, cancel, self.limits.plan)

    def read_source(self, data: bytes, *, greys: bool = False) -> Raster | Drawing:
        """What a plan's source is; `greys` = those of a picture mean something.

        Raises InvalidArgument as `raster_from_picture`, `power_map_from_picture` and `read_svg` do.
        """
        media_type = sniff_media_type(data)
        if media_type == "image/svg+xml":
            return read_svg(data, self.limits.svg)
        if media_type.startswith("image/") and media_type != "image/vnd.dxf":
            picture = decode_picture(data, self.limits.picture)
            return power_map_from_picture(picture) if greys else raster_from_picture(picture)
        raise InvalidArgument(
            "SOURCE_UNREADABLE",
            f"A plan's sources are SVG drawings and PNG pictures from Optimize; this one is {media_type}.",
        )

    def _gray_png(self, gray: NDArray[np.uint8], grid: PixelGrid) -> bytes:
        png = encode_png_gray(gray, grid.pixels_per_metre)
        if bool((decode_picture(png, self.limits.picture).gray() != gray).any()):
            raise Internal("READ_BACK_DIFFERS", "The PNG that was written does not say what was meant.")
        return png

    def _check_png(self, png: bytes, raster: Raster) -> None:
        found = raster_from_picture(decode_picture(png, self.limits.picture))
        same_pitch = abs(found.pitch_mm - raster.pitch_mm) <= _PITCH_TOLERANCE_MM
        if not same_pitch or found.burn.shape != raster.burn.shape or bool((found.burn != raster.burn).any()):
            raise Internal("READ_BACK_DIFFERS", "The PNG that was written does not say what was meant.")
