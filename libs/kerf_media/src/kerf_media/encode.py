"""Pixels to PNG. The same pixels give the same bytes with the same zlib; nothing else goes into the file."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_COMPRESS_LEVEL = 6
_METRES_PER_INCH = 0.0254


def encode_png_1bit(burn: NDArray[np.bool_], pixels_per_metre: int) -> bytes:
    """A 1-bit PNG of a bool array (rows, columns): True = burn = black, False = white.

    `pixels_per_metre` (> 0) becomes its pHYs chunk: the pitch is 1000 / pixels_per_metre mm.
    """
    picture = Image.fromarray(np.where(burn, 0, 255).astype(np.uint8)).convert("1", dither=Image.Dither.NONE)
    return _png(picture, pixels_per_metre)


def encode_png_gray(gray: NDArray[np.uint8], pixels_per_metre: int | None = None) -> bytes:
    """An 8-bit grey PNG of a uint8 array (rows, columns), with a pHYs chunk if the pitch is known."""
    return _png(Image.fromarray(np.ascontiguousarray(gray)), pixels_per_metre)


def encode_png_rgb(rgb: NDArray[np.uint8], pixels_per_metre: int | None = None) -> bytes:
    """An 8-bit RGB PNG of a uint8 array (rows, columns, 3), with a pHYs chunk if the pitch is known."""
    return _png(Image.fromarray(np.ascontiguousarray(rgb)), pixels_per_metre)


def _png(picture: Image.Image, pixels_per_metre: int | None) -> bytes:
    options: dict[str, tuple[float, float]] = {}
    if pixels_per_metre is not None:
        if pixels_per_metre < 1:
            raise ValueError(f"pixels_per_metre must be at least 1, not {pixels_per_metre}")
        # Pillow turns dots per inch back into the whole number that pHYs holds.
        options["dpi"] = (pixels_per_metre * _METRES_PER_INCH, pixels_per_metre * _METRES_PER_INCH)
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=_COMPRESS_LEVEL, **options)
    return out.getvalue()
