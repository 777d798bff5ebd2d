"""Lines, pencil and subjects: what burns is drawn rather than dithered.

Each function takes uint8 grey (rows, columns), 0 = black, and returns bool of the same shape, True = burn. All
arithmetic is in integers, or in float64 additions and multiplications in a fixed order, so that a raster can be made
again bit for bit on another processor.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from kerf_optimizer.domain.error_diffusion import STUCKI, diffuse
from kerf_optimizer.domain.raster.blur import gaussian_blur
from kerf_optimizer.domain.raster.thresholds import otsu_threshold
from kerf_optimizer.domain.raster.types import Burn, Gray

_DOG_RATIO = 1.6
"""Outer over inner Gaussian: Marr and Hildreth (1980) found 1.6 closest to the Laplacian; Winnemöller keeps it."""
_DOG_MAX_SIGMA_PX = 4.0
_TRUNCATE = 3.0
_STRIP_ROWS = 256
_LINE_SIGMA = 0.33
"""Inner Gaussian over width of the line: an edge of 80 to 255 grey levels gives a line 0.75 to 1.2 times as wide."""
_DOG_STRONG, _DOG_WEAK = 7.0, 3.0
"""Grey levels that the response must exceed to begin a line, and to continue one."""
_SPECK_SHARE = 0.01
_ALPHA_SOLID = 128
_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=np.bool_)


def line_art(gray: Gray, line_width_px: float) -> Burn:
    """Dark lines about `line_width_px` (≥ 1) wide along the dark side of every edge.

    The difference of two Gaussians, thresholded with hysteresis and freed from specks: the edge part of XDoG
    (Winnemöller, Kyprianidis and Olsen 2012) without its tone part, since large dark areas are not lines.
    """
    weak, strong = _edges(gray, line_width_px * _LINE_SIGMA)
    labels, count = ndimage.label(weak, structure=_EIGHT_NEIGHBOURS)
    if count == 0:
        return weak
    keep = np.bincount(labels[strong], minlength=count + 1) > 0
    # A line is at least twice as long as wide; less is noise.
    keep &= np.bincount(labels.ravel(), minlength=count + 1) >= 2 * line_width_px * line_width_px
    keep[0] = False
    return np.asarray(keep[labels], dtype=np.bool_)


def _edges(gray: Gray, sigma_px: float) -> tuple[Burn, Burn]:
    """Where the outer less the inner Gaussian exceeds what continues a line, and what begins one: the dark sides.

    Wide Gaussians are computed on a smaller picture: the cost does not grow with the width. Narrow ones go in strips,
    so that the floats of one strip at a time are in memory.
    """
    rows, columns = gray.shape
    factor = max(1, int(sigma_px / _DOG_MAX_SIGMA_PX))
    if factor > 1:
        small = np.asarray(Image.fromarray(gray).reduce(factor))
        response = _difference_of_gaussians(small, sigma_px / factor).astype(np.float32)
        enlarged = np.asarray(Image.fromarray(response).resize((columns, rows), Image.Resampling.BICUBIC))
        return enlarged > _DOG_WEAK, enlarged > _DOG_STRONG
    weak, strong = np.empty(gray.shape, dtype=np.bool_), np.empty(gray.shape, dtype=np.bool_)
    reach = int(_TRUNCATE * sigma_px * _DOG_RATIO + 0.5)
    for top in range(0, rows, _STRIP_ROWS):
        first = max(0, top - reach)
        strip = gray[first : top + _STRIP_ROWS + reach]
        inner_rows = slice(top, min(top + _STRIP_ROWS, rows))
        found = _difference_of_gaussians(strip, sigma_px)[top - first :][:_STRIP_ROWS]
        weak[inner_rows], strong[inner_rows] = found > _DOG_WEAK, found > _DOG_STRONG
    return weak, strong


def _difference_of_gaussians(gray: Gray, sigma_px: float) -> NDArray[np.float64]:
    """Outer minus inner Gaussian, float64: positive on the dark side of edges."""
    floats = gray.astype(np.float64)
    inner = ndimage.gaussian_filter(floats, sigma_px, mode="nearest", truncate=_TRUNCATE)
    outer = ndimage.gaussian_filter(floats, sigma_px * _DOG_RATIO, mode="nearest", truncate=_TRUNCATE)
    return np.asarray(outer - inner, dtype=np.float64)


def sketch(gray: Gray, line_width_px: float) -> Burn:
    """A pencil drawing: the picture over its blur (the "colour dodge" of photo editors), dithered.

    Flat areas turn white, edges and textures finer than about `line_width_px` stay, as dark as their contrast.
    """
    shares = gray.astype(np.uint16) * np.uint16(255) // np.maximum(gaussian_blur(gray, line_width_px), 1)
    return diffuse(np.minimum(shares, 255).astype(np.uint8), STUCKI, serpentine=True)


def silhouette(gray: Gray, alpha: NDArray[np.uint8] | None = None) -> tuple[Burn, int]:
    """The subject filled, and the level used (0 where transparency decided).

    The subject is what is opaque, where `alpha` (uint8, same shape) has transparent pixels; otherwise the side of
    Otsu's level that is in the minority along the picture's border. Holes are filled; parts smaller than 1 % of the
    largest vanish.
    """
    if alpha is not None and bool((alpha < _ALPHA_SOLID).any()):
        subject, level = alpha >= _ALPHA_SOLID, 0
    else:
        level = otsu_threshold(gray)
        dark = gray < level
        border = np.concatenate([dark[0], dark[-1], dark[1:-1, 0], dark[1:-1, -1]])
        subject = ~dark if 2 * np.count_nonzero(border) > border.size else dark
    return _without_specks(fill_holes(subject)), level


def fill_holes(subject: Burn) -> Burn:
    """`subject` and everything that it encloses. Background joins by edges, the subject also by corners."""
    # A frame of background makes all outside one region, named by its corner.
    labels, _ = ndimage.label(np.pad(~subject, 1, constant_values=True))
    return np.asarray(labels[1:-1, 1:-1] != labels[0, 0], dtype=np.bool_)


def _without_specks(subject: Burn) -> Burn:
    labels, count = ndimage.label(subject, structure=_EIGHT_NEIGHBOURS)
    if count == 0:
        return subject
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    areas[0] = 0
    keep = areas >= max(1.0, _SPECK_SHARE * float(areas.max()))
    keep[0] = False
    return np.asarray(keep[labels], dtype=np.bool_)
