"""Rasters as PNG files and back."""

from __future__ import annotations

import math

import numpy as np

from kerf_core.errors import InvalidArgument
from kerf_media import Picture, encode_png_1bit
from kerf_optimizer.domain.geometry import Raster

_MM_PER_METRE = 1000.0
_BLACK, _WHITE = 0, 255
_SQUARE = 1e-6


def raster_to_png(raster: Raster) -> bytes:
    """A 1-bit PNG, black = burn, with the pitch in its pHYs chunk (whole pixels per metre)."""
    return encode_png_1bit(raster.burn, round(_MM_PER_METRE / raster.pitch_mm))


def raster_from_picture(picture: Picture) -> Raster:
    """The raster that a picture already is: black and white only, square pixels, size stated in the file.

    Raises InvalidArgument (NOT_A_RASTER) for anything else: run `Optimize` first.
    """
    gray = picture.gray()
    if not bool(((gray == _BLACK) | (gray == _WHITE)).all()):
        raise _not_a_raster("it has colours or greys")
    return Raster(np.asarray(gray == _BLACK), _pitch_mm(picture))


def power_map_from_picture(picture: Picture) -> Raster:
    """The raster whose pixels have powers that a picture already is: black is full power, white is off.

    Raises InvalidArgument (NOT_A_RASTER) where it has colours, transparent pixels, or does not state its size.
    """
    if not bool((picture.rgb == picture.rgb[..., :1]).all()):
        raise _not_a_raster("it has colours")
    power = _WHITE - picture.rgb[..., 0]
    return Raster(power > 0, _pitch_mm(picture), power)


def _pitch_mm(picture: Picture) -> float:
    if picture.alpha is not None:
        raise _not_a_raster("it has transparent pixels")
    if picture.pixels_per_metre is None:
        raise _not_a_raster("it does not say how large its pixels are (pHYs)")
    across, down = picture.pixels_per_metre
    if not math.isclose(across, down, rel_tol=_SQUARE):
        raise _not_a_raster("its pixels are not squares")
    return _MM_PER_METRE / across


def _not_a_raster(why: str) -> InvalidArgument:
    return InvalidArgument(
        "NOT_A_RASTER", f"The picture is no burnable raster: {why}. Run Optimize on it first and plan its result."
    )
