"""Which mode suits a picture, and why."""

from __future__ import annotations

import numpy as np
from PIL import Image

from kerf_optimizer.domain.raster.settings import RasterMode, RasterSettings
from kerf_optimizer.domain.raster.tone import without_paper
from kerf_optimizer.domain.raster.types import Gray

_NEAR_BLACK, _NEAR_WHITE = 24, 231
_CLEAR_SHARE = 0.9
_DITHERED_FLIPS = 0.12
"""Changes per pixel along rows and columns: dots have more, strokes and areas fewer."""
_FLAT_TONES = 8
_FLAT_SHARE = 0.85
_LOOKED_AT_SIDE_PX = 1024


def clear_share(gray: Gray) -> float:
    """Share of pixels that are nearly black or nearly white."""
    return float(np.count_nonzero((gray <= _NEAR_BLACK) | (gray >= _NEAR_WHITE))) / gray.size


def detect_mode(gray: Gray, settings: RasterSettings) -> tuple[RasterMode, tuple[str, ...]]:
    """The mode for a picture at its own size (uint8, before any tone tool), and the reasons in sentences."""
    if bool(((gray == 0) | (gray == 255)).all()):
        return _of_black_and_white(gray, settings)
    clear = clear_share(gray)
    if clear > _CLEAR_SHARE:
        return RasterMode.THRESHOLD, (f"{clear:.0%} of the pixels are nearly black or nearly white.",)
    factor = max(1, max(gray.shape) // _LOOKED_AT_SIDE_PX)
    small = np.asarray(Image.fromarray(gray).reduce(factor)) if factor > 1 else gray
    counts = np.sort(np.bincount(small.ravel(), minlength=256))[::-1]
    flat = float(counts[:_FLAT_TONES].sum()) / small.size
    if flat > _FLAT_SHARE:
        return RasterMode.ORDERED, (
            f"{flat:.0%} of the pixels have one of {_FLAT_TONES} greys: flat areas get an even pattern.",
        )
    clear = clear_share(without_paper(small, uneven=True))
    if clear > _CLEAR_SHARE:
        return RasterMode.ADAPTIVE_THRESHOLD, (
            f"It is a drawing on paper: with the paper's brightness removed {clear:.0%} is nearly black or white.",
        )
    tones = int(np.count_nonzero(counts))
    photo = f"It has {tones} greys and soft transitions, like a photograph."
    if settings.burn is not None:
        return RasterMode.BURN_SIMULATED, (photo, "The spot is known: its dots can be allowed for.")
    return RasterMode.FLOYD_STEINBERG, (photo,)


def _of_black_and_white(gray: Gray, settings: RasterSettings) -> tuple[RasterMode, tuple[str, ...]]:
    white = gray > 0
    changes = np.count_nonzero(white[:, 1:] != white[:, :-1]) + np.count_nonzero(white[1:] != white[:-1])
    flips = changes / (2 * gray.size)
    only = "It is black and white already."
    if flips < _DITHERED_FLIPS:
        return RasterMode.THRESHOLD, (only,)
    dots = f"{flips:.0%} of neighbouring pixels differ: it consists of dots."
    if settings.size.width_mm or settings.size.height_mm:
        return RasterMode.FLOYD_STEINBERG, (
            only,
            dots,
            "A new size needs new dots; the original would give better ones.",
        )
    return RasterMode.PASS_THROUGH, (only, dots, "Dots are kept as they are.")
