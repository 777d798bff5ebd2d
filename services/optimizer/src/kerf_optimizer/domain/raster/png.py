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
    if picture.alpha is not None:
        raise _not_a_raster("it has transparent pixels")
    if picture.pixels_per_metre is None:
        raise _not_a_raster("it does not say how large its pixels are (pHYs)")
    across, down = picture.pixels_per_metre
    if not math.isclose(across, down, rel_tol=_SQUARE):
        raise _not_a_raster("its pixels are not squares")
    return Raster(np.asarray(gray == _BLACK), _MM_PER_METRE / across)


def _not_a_raster(why: str) -> InvalidArgument:
    return InvalidArgument(
        "NOT_A_RASTER", f"The picture is no burnable raster: {why}. Run Optimize on it first and plan its result."
    )
