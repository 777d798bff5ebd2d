"""Millimetres, dots per inch and pixels: what size a picture gets, and what is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.geometry import MM_PER_INCH

DEFAULT_DPI = 254.0
_METRES_PER_INCH = 0.0254
_MM_PER_METRE = 1000
_SQUARE = 1e-6


@dataclass(frozen=True)
class PhysicalSize:
    """Target size. Width and height 0 = the picture's own; one of them 0 = by the aspect ratio; both = fitted inside.

    `dpi` 0 = 254 (0.1 mm).
    """

    width_mm: float = 0.0
    height_mm: float = 0.0
    dpi: float = 0.0


@dataclass(frozen=True)
class RasterLimits:
    """What a raster may be. Outside it is refused with InvalidArgument."""

    max_pixels: int = 40_000_000
    max_side_px: int = 20_000
    min_dpi: float = 10.0
    """Below it a PNG, which holds whole pixels per metre, could not state the size to within 0.15 %."""
    max_dpi: float = 2540.0
    typical_spot_mm: float = 0.08
    """Spot of a common diode laser: finer rasters burn dots that overlap, and say so."""


@dataclass(frozen=True)
class PixelGrid:
    """A raster's size. The pitch is 1000 / `pixels_per_metre` mm, so that a PNG states it exactly."""

    width_px: int
    height_px: int
    pixels_per_metre: int

    @property
    def pitch_mm(self) -> float:
        """Distance between pixels."""
        return _MM_PER_METRE / self.pixels_per_metre


def grid_for(
    picture_px: tuple[int, int], size: PhysicalSize, limits: RasterLimits, pixel_aspect: float = 1.0
) -> PixelGrid:
    """The grid on which a picture of `picture_px` (columns, rows) is burnt.

    `pixel_aspect` is the width of one of the picture's pixels divided by its height. The pitch is `size.dpi` rounded to
    whole pixels per metre, the size the wanted one rounded to whole pixels. Raises InvalidArgument: `size.dpi` out of
    range, `size` so small that no pixel is left (SIZE_TOO_SMALL) or larger than the limits (SIZE_TOO_LARGE).
    """
    dpi = size.dpi or DEFAULT_DPI
    _check_dpi(dpi, limits)
    pixels_per_metre = round(dpi / _METRES_PER_INCH)
    wanted_mm = fit_mm(picture_px[0] * pixel_aspect, picture_px[1], size)
    if wanted_mm is None:
        width_px, height_px = max(1, round(picture_px[0] * pixel_aspect)), picture_px[1]
    else:
        width_px, height_px = (round(side_mm * pixels_per_metre / _MM_PER_METRE) for side_mm in wanted_mm)
    _check(width_px, height_px, dpi, limits)
    return PixelGrid(width_px, height_px, pixels_per_metre)


def own_grid(
    picture_px: tuple[int, int], size: PhysicalSize, limits: RasterLimits, stated: tuple[float, float] | None
) -> PixelGrid:
    """The grid of a picture that is at the machine's resolution already: its own pixels, whatever `size` says.

    The pitch comes from `size.dpi`, else from a side of `size`, else from what the file states (pixels per metre across
    and down), else it is 0.1 mm. Raises InvalidArgument: `size` names dots and a side that contradict each other, the
    pixels are not squares, or the limits are exceeded.
    """
    sides = (("size.width_mm", size.width_mm, picture_px[0]), ("size.height_mm", size.height_mm, picture_px[1]))
    fit_mm(picture_px[0], picture_px[1], size)  # refuses lengths that are none
    by_side = [_MM_PER_METRE * pixels / side_mm for _, side_mm, pixels in sides if side_mm]
    if size.dpi:
        pixels_per_metre = size.dpi / _METRES_PER_INCH
    elif by_side:
        pixels_per_metre = max(by_side)
    elif stated is not None:
        if not math.isclose(*stated, rel_tol=_SQUARE):
            raise InvalidArgument.of_field("mode", "the picture's pixels are not squares: it cannot pass unchanged.")
        pixels_per_metre = stated[0]
    else:
        pixels_per_metre = DEFAULT_DPI / _METRES_PER_INCH
    dpi = pixels_per_metre * _METRES_PER_INCH
    _check_dpi(dpi, limits)
    grid = PixelGrid(picture_px[0], picture_px[1], round(pixels_per_metre))
    for name, side_mm, pixels in sides:
        if size.dpi and side_mm and abs(pixels * grid.pitch_mm - side_mm) > grid.pitch_mm:
            raise InvalidArgument.of_field(
                name,
                f"at {size.dpi:g} dpi the picture is {pixels * grid.pitch_mm:.4g} mm, not {side_mm:g}: give the dots "
                "or the side, not both.",
            )
    _check(grid.width_px, grid.height_px, dpi, limits)
    return grid


def fit_mm(width: float, height: float, size: PhysicalSize) -> tuple[float, float] | None:
    """(width, height) in mm of a picture with sides in the proportion `width` : `height`; None where `size` names none.

    Raises InvalidArgument for sides that are negative or not finite.
    """
    for name, side_mm in (("size.width_mm", size.width_mm), ("size.height_mm", size.height_mm)):
        if not math.isfinite(side_mm) or side_mm < 0:
            raise InvalidArgument.of_field(name, f"{side_mm} is no length; give millimetres of 0 or more.")
    if not size.width_mm and not size.height_mm:
        return None
    scales = [wanted / side for wanted, side in ((size.width_mm, width), (size.height_mm, height)) if wanted]
    scale = min(scales)
    return (width * scale, height * scale)


def _check_dpi(dpi: float, limits: RasterLimits) -> None:
    if not limits.min_dpi <= dpi <= limits.max_dpi:
        raise InvalidArgument.of_field("size.dpi", f"{dpi:g} is outside {limits.min_dpi:g}–{limits.max_dpi:g} dpi.")


def _check(width_px: int, height_px: int, dpi: float, limits: RasterLimits) -> None:
    if width_px < 1 or height_px < 1:
        raise InvalidArgument.of_field(
            "size",
            f"at {dpi:g} dpi this is {width_px} × {height_px} px, nothing to burn. Ask for at least "
            f"{MM_PER_INCH / dpi:.3g} mm a side or more dots per inch.",
            "SIZE_TOO_SMALL",
        )
    if max(width_px, height_px) > limits.max_side_px or width_px * height_px > limits.max_pixels:
        raise InvalidArgument.of_field(
            "size",
            f"at {dpi:g} dpi this is {width_px:,} × {height_px:,} px; at most {limits.max_side_px:,} px a side and "
            f"{limits.max_pixels:,} px in all. Ask for fewer dots per inch or a smaller size.",
            "SIZE_TOO_LARGE",
        )
